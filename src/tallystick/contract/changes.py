"""What a change of the contract is to clients: every kind that ``contract diff`` finds, compatible or not.

The same rows are the contract's table of what may change within a version, so that what is promised is what is checked.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from tallystick.contract import markdown


class KindOfChange(Struct, frozen=True):
    """One kind. An incompatible one needs a new version. ``meaning``: what changed, for people."""

    compatible: bool
    meaning: str


class Change(Struct, frozen=True, order=True):
    """One change. ``place``: where in the contract, such as ``getPayment 200 Payment.state``."""

    kind: str
    place: str
    detail: str = ""

    @property
    def compatible(self) -> bool:
        """Whether clients of the old contract can go on."""
        return CHANGES[self.kind].compatible


#: Every kind of change, as the contract lists them.
CHANGES: Final[dict[str, KindOfChange]] = {
    "version_removed": KindOfChange(False, "A version is not served any more, and the release before did not say when"
                                           " it would end."),
    "version_ended": KindOfChange(True, "A version is not served any more, as the release before said that it would."),
    "version_added": KindOfChange(True, "A new version, beside those that there were."),
    "operation_added": KindOfChange(True, "A new operation."),
    "operation_removed": KindOfChange(False, "An operation is gone, or has another path or method."),
    "operation_renamed": KindOfChange(False, "An operation has another operationId: generated clients lose its name."),
    "parameter_added": KindOfChange(True, "A new parameter that may be left out."),
    "parameter_removed": KindOfChange(False, "A parameter is gone: it would be refused."),
    "parameter_required": KindOfChange(False, "A parameter has to be sent that had not."),
    "parameter_optional": KindOfChange(True, "A parameter may be left out that had to be sent."),
    "request_property_added": KindOfChange(True, "A new member of a request that may be left out."),
    "request_property_removed": KindOfChange(False, "A member of a request is gone: it would be refused."),
    "request_property_required": KindOfChange(False, "A member of a request has to be sent that had not."),
    "request_property_optional": KindOfChange(True, "A member of a request may be left out that had to be sent."),
    "request_narrowed": KindOfChange(False, "A request may have fewer values: type, list of values, length, range or"
                                            " pattern."),
    "request_widened": KindOfChange(True, "A request may have more values."),
    "default_changed": KindOfChange(False, "What is left out means something else."),
    "answer_property_added": KindOfChange(True, "A new member of an answer or message: clients ignore it."),
    "answer_property_removed": KindOfChange(False, "A member of an answer or message is gone."),
    "answer_property_optional": KindOfChange(False, "A member of an answer or message may be absent that was always"
                                                    " there."),
    "answer_property_promised": KindOfChange(True, "A member of an answer or message is always there that might be"
                                                   " absent."),
    "answer_widened": KindOfChange(False, "An answer or message may have values that it had not: another type or"
                                          " format, null, or one more in a closed list."),
    "answer_narrowed": KindOfChange(True, "An answer or message has fewer values."),
    "open_value_added": KindOfChange(True, "One more value in an open list: error codes, types of messages, results of"
                                           " deliveries, currencies."),
    "success_added": KindOfChange(False, "An operation succeeds with a status that it had not."),
    "success_removed": KindOfChange(False, "An operation does not succeed with a status any more."),
    "refusal_added": KindOfChange(True, "An operation may be refused with one more status: clients go by its class, and"
                                        " by `retryable` and `outcome`."),
    "refusal_removed": KindOfChange(True, "An operation is not refused with a status any more."),
    "header_added": KindOfChange(True, "A new header of an answer."),
    "header_removed": KindOfChange(False, "A header of an answer is gone."),
    "error_added": KindOfChange(True, "A new error code."),
    "error_removed": KindOfChange(True, "An error code does not come any more."),
    "error_changed": KindOfChange(False, "An error code has another status, `retryable` or `outcome`, or takes the key"
                                         " where it did not."),
    "state_added": KindOfChange(False, "A lifecycle has one more state."),
    "state_removed": KindOfChange(False, "A lifecycle has a state no more."),
    "finality_changed": KindOfChange(False, "A state is final that was not, or not any more."),
    "edge_added": KindOfChange(True, "One more edge between known states."),
    "edge_removed": KindOfChange(True, "An edge is gone."),
    "message_added": KindOfChange(True, "A new type of message."),
    "message_removed": KindOfChange(False, "A type of message is not sent any more."),
    "message_moved": KindOfChange(False, "An edge sends another message than before, or none."),
}  # fmt: skip


def table_of_changes(*, compatible: bool) -> str:
    """The contract's table of one half of the kinds."""
    rows = [(f"`{name}`", kind.meaning) for name, kind in CHANGES.items() if kind.compatible == compatible]
    return markdown.table(("change", "meaning"), rows)
