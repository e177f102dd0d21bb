"""The page of research on the dashboard."""

from apps.dashboard.pages import Page, register

RESEARCH = register(Page("research", "Research", "research", order=40))
