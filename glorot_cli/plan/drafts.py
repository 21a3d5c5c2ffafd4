"""What a spec describes, tensor by tensor, before initialisers are chosen."""

from __future__ import annotations

from collections.abc import Iterator

from glorot_cli.dialects import place_layers
from glorot_cli.errors import SpecError
from glorot_cli.initializers import Kernel
from glorot_cli.initializers.kernel import Per
from glorot_cli.plan.decisions import Draft, Tie
from glorot_cli.plan.entries import check_kept, index_names, padding_row
from glorot_cli.plan.tensors import Owner
from glorot_cli.repeats import Stamped
from glorot_cli.spec.model import Spec, TensorEntry
from glorot_cli.spec.shapes import roles
from glorot_cli.streams import DEFAULT


class Drafts:
    """Give the drafts of a spec's tensors in order, as often as they are asked for.

    `strict` assumes no axes; `stand` tells whether conditions and empty ranges left any entry.
    """

    def __init__(self, spec: Spec, *, strict: bool) -> None:
        self.stand = False
        self._spec = spec
        self._strict = strict
        # What a framework draws, it draws for tensors.
        self._per: Per = "kernel" if spec.table.rng == DEFAULT else "tensor"

    def __iter__(self) -> Iterator[Draft]:
        yield from self._of_layers()
        yield from self._of_tensors()

    def _of_layers(self) -> Iterator[Draft]:
        spec, table = self._spec, self._spec.table
        if not table.layers:
            return
        layers = list(spec.layers())
        if not layers:
            return
        self.stand = True
        place = place_layers(table.dialect)
        kernels: dict[object, Kernel] = {}
        for weight in place(layers, spec.inputs(), table.outputs):
            rule = weight.fans or table.fans or table.dialect
            per = table.per or ("tensor" if table.dialect == "keras" else self._per)
            form = (
                weight.shape,
                weight.axes,
                weight.fused,
                rule,
                per,
                weight.fused_role,
                weight.scale,
            )
            kernel = kernels.get(form)
            if kernel is None:
                shape, axes, fused, rule, per, role, scale = form
                kernel = Kernel(shape, axes, fused, rule, per=per, fused_role=role, scale=scale)
                kernels[form] = kernel
            yield Draft(
                name=weight.name,
                path=weight.path,
                names=weight.names,
                own=weight.initializer,
                kernel=kernel,
                dtype=weight.dtype or table.dtype,
                seed=weight.seed,
                patch=weight.patch,
                note=weight.note,
                tie=Tie(weight.copy_of, weight.shape, stored=True) if weight.copy_of else None,
                rng=table.rng,
                owner=Owner(
                    weight.family,
                    kind=weight.kind,
                    trainable=weight.trainable,
                    layer=weight.layer,
                    group=weight.group,
                    also_group=weight.also_group,
                    rank=weight.rank,
                ),
            )

    def _of_tensors(self) -> Iterator[Draft]:
        # What a repeated entry comes to is worked out once, where it is alike in all repetitions.
        drafts: dict[int, tuple[TensorEntry, Draft]] = {}
        for stamped, entry in self._spec.tensors():
            found = drafts.get(id(entry))
            if found is None:
                self.stand = True
                found = drafts[id(entry)] = entry, self._of_entry(stamped, entry)
            _, path, _, *rest = found[1]
            yield Draft._make((stamped.name, path, stamped.names, *rest))

    def _of_entry(self, stamped: Stamped, entry: TensorEntry) -> Draft:
        assert stamped.name is not None
        table, path, own = self._spec.table, stamped.path, entry.initializer
        if entry.shape is None and entry.tie is None:
            raise SpecError("a tensor needs 'shape', which is missing", path)
        if (
            entry.axes is None
            and entry.type is None
            and entry.fused > 1
            and entry.shape is not None
        ):
            raise SpecError("fused needs axes, one letter per axis", (*path, "fused"))
        check_kept(entry, stamped.item, path)
        said, assumed = roles(entry, table.dialect, path)
        for key in stamped.item if entry.tie is not None else ():
            if key not in ("tie", "shape", "stored"):
                raise SpecError(
                    f"a tied tensor is not drawn, so it takes no {key}", (*path, key), at_key=True
                )
        if entry.stored and entry.tie is None:
            raise SpecError("stored is for a tied tensor, which is a copy then", (*path, "stored"))
        rule = entry.fans or table.fans or "exact"
        return Draft(
            name=stamped.name,
            path=path,
            names=stamped.names,
            own=own and own._replace(path=(*path, *own.path)),
            kernel=Kernel(
                entry.shape or (),
                said,
                entry.fused,
                rule,
                None if self._strict else assumed,
                table.per or self._per,
                index_names(entry, said, stamped.names, path),
            ),
            dtype=entry.dtype or table.dtype,
            seed=entry.seed,
            patch=padding_row(entry, path),
            tie=None if entry.tie is None else Tie(entry.tie, entry.shape, entry.stored),
            rng=table.rng,
            owner=Owner(stamped.family or stamped.name, entry.skip, kept=entry.keep),
            typed=entry.axes is None and entry.type is not None,
            fans_of=entry.fans_of,
        )
