"""The networks as huggingface_hub's PyTorchModelHubMixin: saved, loaded and pushed as other libraries' models are."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from huggingface_hub import ModelCard, PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.errors import HFValidationError
from torch import Tensor, nn

from srcli import checkpoint, zoo
from srcli.checkpoint import Card
from srcli.errors import BadCheckpoint, UsageError, WeightsNotFound
from srcli.modelcard import LICENCES
from srcli.models import create


class Model(nn.Module, PyTorchModelHubMixin, library_name="srcli", pipeline_tag="image-to-image", tags=["super-resolution"]):
    """A network of srcli: `Model("rfdn", 4)` with fresh weights, `Model.from_pretrained(...)` with saved ones.

    Maps (N, C, H, W) in [0, 1] to (N, C, scale*H, scale*W), unclamped, in one pass and with gradients; `srcli.load` is
    what cuts pictures into tiles. What save_pretrained writes is a weights file of srcli with a config.json beside it.
    """

    def __init__(self, arch: str, scale: int, **arguments: Any) -> None:
        super().__init__()
        self.network = create(arch, scale, **arguments)
        self.card = checkpoint.card_of(self.network)
        self._mark = 0  # of the weights that the card is of

    @classmethod
    def of(cls, reference: str, scale: int | None = None, *, offline: bool = False) -> Self:
        """Take the weights that `-m` would take: a shipped name, a weights file or hf:owner/repo, of a network of srcli."""
        network, card = zoo.open_model(reference, scale, offline=offline, say=logging.getLogger("srcli").warning)
        if network.learnt and not network.state_dict():
            raise BadCheckpoint(f"'{reference}' is exported, and holds no tensors; name the weights it was made from")
        return cls(card.arch, card.scale, **card.config)._filled(network.state_dict(), card)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Self:
        """Load what save_pretrained wrote: a folder, or owner/name on the Hub; raise WeightsNotFound where neither can be."""
        try:
            return super().from_pretrained(pretrained_model_name_or_path, **options)
        except HFValidationError as error:
            named = pretrained_model_name_or_path
            raise WeightsNotFound(f"no folder '{named}'; Model.of takes weights files") from error

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """Return the mixin's README.md with the licence of the weights, where they state one."""
        page = super().generate_model_card(*args, **kwargs)
        if self.card.licence.lower() in LICENCES:
            page.data["license"] = self.card.licence.lower()
        return page

    def forward(self, x: Tensor) -> Tensor:
        if min(x.shape[-2:]) < (least := self.network.min_side):
            height, width = x.shape[-2:]
            raise UsageError(f"'{self.network.arch}' takes sides of {least} px at the least, not {height}x{width}; pad them")
        return self.network(x)

    def _filled(self, state: dict[str, Tensor], card: Card) -> Self:
        self.network.load_state_dict(state)
        self.card, self._mark = card, checkpoint.checksum(self.network)
        return self.eval()

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write weights and card, without the scores and the recipe of what they were where they were trained on."""
        card = self.card
        if card.training or card.scores:
            card = card if checkpoint.checksum(self.network) == self._mark else replace(card, training={}, scores=[])
        checkpoint.save(save_directory / zoo.SAVED, self.network, card)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        map_location: str = "cpu",
        strict: bool = True,
        **arguments: Any,
    ) -> Self:
        if not strict:
            raise UsageError("strict=False: a network takes all of its weights or none")
        path = Path(model_id) / zoo.SAVED
        if not Path(model_id).is_dir():
            path = Path(
                hf_hub_download(
                    model_id,
                    zoo.SAVED,
                    revision=revision,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    local_files_only=local_files_only,
                    token=token,
                )
            )
        network, card = zoo.open_file(path)
        described = {"arch": card.arch, "scale": card.scale, **card.config, **arguments}
        return cls(**described)._filled(network.state_dict(), card).to(map_location)
