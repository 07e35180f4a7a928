"""The screen for what providers say, with the key of these tests and without alerts."""

from __future__ import annotations

from tallystick.flows.provider_words import ProviderWords
from tallystick.record.sealing import sealer_of
from tests.support.runtime import SETTINGS

SCREEN = ProviderWords(sealer_of(SETTINGS), alert=lambda *_: None)
