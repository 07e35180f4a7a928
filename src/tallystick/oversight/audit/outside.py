"""Compares the trees of the record with heads that are kept elsewhere: the record has to have each of them, except
those that a declared restore gave up."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.oversight.audit.anchors import Anchor, OuterHead
from tallystick.oversight.audit.declarations import RestoreText
from tallystick.oversight.audit.heads import digest, unpack_leaves
from tallystick.oversight.audit.report import AuditReport, Cut, thing_name
from tallystick.oversight.audit.trees import Tree, Trees, head_name


class Outside:
    """One comparison with the files of a place outside, in their order."""

    def __init__(self, trees: Trees, report: AuditReport) -> None:
        self._trees = trees
        self._report = report
        self._sequences: dict[int, int] = {}  # group -> the last head that a file had
        self._kept: dict[int, dict[int, int]] = {}  # checkpoint -> the same, when its file was read
        self._under: RestoreText | None = None  # the restore that gave up the last file

    def compare(self, anchors: Sequence[Anchor]) -> None:
        """Tell the report what differs, and what was given up."""
        last = kept = None
        cuts = {each: Cut.of(each) for each in self._trees.restores}
        for anchor in anchors:
            if not anchor.signed_by(self._trees.keys):
                self._report.add("outside_head", anchor.name, "it is not signed by the public key")
                continue
            if last is not None and anchor.checkpoint.record != last.checkpoint.record:
                self._report.add("outside_head", anchor.name, "it is of another record")
            if self._compare_one(anchor, cuts):
                kept = anchor
            last = anchor
        self._report.cuts = list(cuts.values())
        if kept is not None:
            self._report.outside = f"checkpoint {kept.checkpoint.number}"
            self._report.promised_until = kept.checkpoint.sealed_at

    def _compare_one(self, anchor: Anchor, cuts: dict[RestoreText, Cut]) -> bool:
        """Whether the record has to have what this file has: a restore may have given it up."""
        number = anchor.checkpoint.number
        restore = self._gave_up(number)
        if restore is None and self._under is not None:
            self._sequences = dict(self._kept.get(self._under.restored_from, {}))
        self._under = restore
        if restore is not None:
            self._give_up(anchor, restore, cuts[restore])
            return False
        for outer in anchor.heads:
            self._follow(anchor, outer)
            self._compare_head(anchor, outer)
        self._kept[number] = dict(self._sequences)
        if self._trees.checkpoints.get(number) != digest(anchor.document):
            detail = f"{anchor.name} has it, and the record another one or none"
            self._report.add("rolled_back", f"checkpoint {number}", detail)
        return True

    def _give_up(self, anchor: Anchor, restore: RestoreText, cut: Cut) -> None:
        """A file between the checkpoint that the record went on from and the last one of before. What the record made
        of these numbers itself, before the restore was declared, it has."""
        cut.leaves += sum(self._lost(outer) for outer in anchor.heads)
        document = digest(anchor.document)
        mine = self._trees.checkpoints.get(anchor.checkpoint.number) == document
        if anchor.checkpoint.number == restore.last and document != restore.lost and not mine:
            self._report.add("outside_head", anchor.name, "it is not the one that the declared restore gave up")

    def _gave_up(self, number: int) -> RestoreText | None:
        found = [each for each in self._trees.restores if each.restored_from < number <= each.last]
        return found[-1] if found else None

    def _follow(self, anchor: Anchor, outer: OuterHead) -> None:
        group, sequence = outer.text.group, outer.text.sequence
        known = self._sequences.get(group, 0)
        # A file may have heads that the one before has, too: where its sender did not learn that it was taken.
        if sequence > known + 1:
            detail = f"{anchor.name}: heads before it are missing outside"
            self._report.add("outside_head", head_name(group, sequence), detail)
        self._sequences[group] = max(known, sequence)

    def _compare_head(self, anchor: Anchor, outer: OuterHead) -> None:
        group, sequence = outer.text.group, outer.text.sequence
        tree = self._trees.by_group.get(group)
        if tree is not None and not self._differs(tree, outer):
            return
        detail = f"{anchor.name} has it, and the record another one or none"
        self._report.add("rolled_back", head_name(group, sequence), detail)
        here = self._hashes(group)
        for leaf in unpack_leaves(outer.leaves):
            if bytes.fromhex(leaf.hash) not in here:
                for named in leaf.names():
                    detail = f"{anchor.name} has it as sealed, and no tree here does"
                    self._report.add("removed", thing_name(*named), detail)

    def _lost(self, outer: OuterHead) -> int:
        """How many leaves of a head that was given up are in no tree of the record."""
        tree = self._trees.by_group.get(outer.text.group)
        if tree is not None and not self._differs(tree, outer):
            return 0
        here = self._hashes(outer.text.group)
        return sum(bytes.fromhex(leaf.hash) not in here for leaf in unpack_leaves(outer.leaves))

    @staticmethod
    def _differs(tree: Tree, outer: OuterHead) -> bool:
        """Whether the record has another head in its place; not of those before what is looked at."""
        sequence = outer.text.sequence
        return sequence >= tree.first - 1 and tree.heads.get(sequence) != digest(outer.document)

    def _hashes(self, group: int) -> set[bytes]:
        tree = self._trees.by_group.get(group)
        return set() if tree is None else {tree.hash_at(position) for position in range(tree.base, tree.size)}
