"""What has been learned and chosen: views, active policies, portfolio weights."""
