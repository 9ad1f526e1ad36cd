"""The named moments of a campaign at which it may be killed."""

CAMPAIGN_POINTS = [
    "campaign.before_begin",
    "campaign.after_begin",
    "campaign.before_plan",
    "campaign.after_plan",
    "campaign.before_upload",
    "campaign.after_upload",
    "campaign.before_create",
    "campaign.after_create",
    "campaign.after_created",
    "campaign.before_end",
    "campaign.after_end",
    "campaign.before_collect",
    "campaign.after_collect",
    "campaign.before_merge",
    "campaign.after_merge",
]
