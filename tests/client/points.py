"""The named moments of a campaign at which it may be killed."""

CAMPAIGN_POINTS = [
    "campaign.before_begin",
    "campaign.after_begin",
    "campaign.within_plan",
    "campaign.before_plan",
    "campaign.after_plan",
    "campaign.before_upload",
    "campaign.amid_upload",
    "campaign.after_upload",
    "campaign.after_uploaded",
    "campaign.before_create",
    "campaign.after_create",
    "campaign.after_created",
    "campaign.before_end",
    "campaign.after_end",
    "campaign.before_collect",
    "campaign.amid_download",
    "campaign.within_collect",
    "campaign.after_collect",
    "campaign.before_merge",
    "campaign.after_merge",
]
# Where only a full queue, a refusal or a cancelled campaign gets to, by which of these it is.
RARE_POINTS = [
    ("split", "campaign.within_split"),
    ("split", "campaign.before_split"),
    ("split", "campaign.after_split"),
    ("full", "campaign.before_wait"),
    ("full", "campaign.after_wait"),
    ("refused", "campaign.before_end"),
    ("refused", "campaign.after_end"),
    ("cancelled", "campaign.before_cancel"),
    ("cancelled", "campaign.after_cancel"),
    ("cancelled", "campaign.before_end"),
    ("cancelled", "campaign.after_end"),
]
