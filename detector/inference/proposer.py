"""What a proposal method is, and the proposer that the settings choose."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from detector.choices import PROPOSAL_METHODS, chosen_module
from detector.config import EngineSettings, ProposalSettings
from detector.data.dataset import Dataset
from detector.errors import ConfigError
from detector.records import Image, Proposals


class Proposer(Protocol):
    """Proposes the regions of images from their pixels; the same for the same seed."""

    @property
    def group(self) -> int:
        """How many images `finish` is best given at once; 1 where they share no work."""

    def prepare(self, image: Image) -> Any:
        """All that needs no network, for `image` (H, W, 3) uint8 RGB; may run on any thread."""

    def finish(self, images: Sequence[Any]) -> Iterator[Proposals]:
        """The proposals of each image, of what `prepare` made of it, in order."""


class KnownProposals(Protocol):
    """The proposals of a data set's images; `notes` are what a reader of results should know about them."""

    notes: tuple[str, ...]

    def read(self, position: int) -> Proposals:
        """Those of the image at `position`."""


MULTIBOX_WEIGHTS = "multibox.weights"  # the setting that names MultiBox's file

Opening = Callable[[ProposalSettings, EngineSettings, int], Proposer]


def no_files(settings: ProposalSettings) -> dict[str, Path | None]:
    """Of a method that reads none."""
    return {}


@dataclass(frozen=True)
class ProposalMethod:
    """How proposals come to be, as the module that `detector.choices.PROPOSAL_METHODS` names has it in `METHOD`.

    Either `from_pixels` opens a proposer, of the settings, the engine and a seed, or `of_dataset` the proposals of
    a data set's images; DataError where a file is wrong. `files` are those that are read, by the name of their
    setting in `proposals`, None where the setting names none. Their contents are part of a store's key, and so is
    the engine where the method `runs_a_network`.
    """

    from_pixels: Opening | None = None
    of_dataset: Callable[[ProposalSettings, Dataset], KnownProposals] | None = None
    files: Callable[[ProposalSettings], Mapping[str, Path | None]] = no_files
    runs_a_network: bool = False


def proposal_method(source: str) -> ProposalMethod:
    """The method of that name."""
    found: ProposalMethod = chosen_module(PROPOSAL_METHODS, source).METHOD
    return found


def open_proposer(settings: ProposalSettings, engine: EngineSettings, seed: int) -> Proposer:
    """The proposer of the settings' method; ConfigError for a method that knows no images but a data set's."""
    return opening_of(settings.source)(settings, engine, seed)


def opening_of(source: str) -> Opening:
    """What opens the proposer of that method; ConfigError as `open_proposer`."""
    opening = proposal_method(source).from_pixels
    if opening is None:
        *others, last = [name for name in PROPOSAL_METHODS if proposal_method(name).from_pixels]
        wanted = f"{', '.join(others)} or {last}"
        raise ConfigError(f"proposals.source must be {wanted} to detect in new images, got {source}")
    return opening


def multibox_weights(settings: ProposalSettings) -> Path | None:
    """The file of MultiBox's weights, None where the settings' method reads none."""
    return proposal_method(settings.source).files(settings).get(MULTIBOX_WEIGHTS)


def required_file(settings: ProposalSettings, name: str) -> Path:
    """The file that the setting `name` states, which the settings' method reads; ConfigError for none."""
    path = proposal_method(settings.source).files(settings)[name]
    if path is None:
        raise ConfigError(f"proposals.{name} must be a file for source {settings.source}, got none")
    return path
