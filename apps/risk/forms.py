"""What a person in the admin may ask risk to change."""

from __future__ import annotations

from django import forms

from apps.engine.reasons import TradingState
from apps.risk.limits import LIMITS
from apps.risk.states import RELEASE_WORD
from apps.risk.switch import MAX_REASON
from apps.web.casing import to_camel

STATES = [(name, name) for name in TradingState.__members__]


class LimitForm(forms.Form):
    """One limit in the units of the API: money and fractions as decimals, all else as whole numbers."""

    limit = forms.ChoiceField(
        choices=[(name, f"{to_camel(limit.member)} ({limit.kind.unit})") for name, limit in LIMITS.items()]
    )
    value = forms.DecimalField(max_digits=24, decimal_places=8)
    reason = forms.CharField(max_length=MAX_REASON)


class StateForm(forms.Form):
    """A trading state of the desk, or of one symbol."""

    state = forms.ChoiceField(choices=STATES)
    symbol = forms.CharField(max_length=32, required=False, help_text="Empty for the whole desk.")
    reason = forms.CharField(max_length=MAX_REASON)
    confirmation = forms.CharField(
        required=False, help_text=f"{RELEASE_WORD}, where the kill switch or a latch is released."
    )
