"""One HTML file that tells of a campaign: what was asked, what came back, what it cost."""
