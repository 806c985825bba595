"""The user's own proposals, in a file for the images of a data set."""

from pathlib import Path

from detector.config import ProposalSettings
from detector.data.dataset import Dataset
from detector.data.exchange.given_proposals import GivenProposals
from detector.inference.proposer import ProposalMethod, required_file

GIVEN = "given"


def given_files(settings: ProposalSettings) -> dict[str, Path | None]:
    """The user's file."""
    return {GIVEN: settings.given}


def open_given(settings: ProposalSettings, dataset: Dataset) -> GivenProposals:
    """The file's proposals of the images; DataError where it is wrong."""
    return GivenProposals.open(required_file(settings, GIVEN), dataset)


METHOD = ProposalMethod(of_dataset=open_given, files=given_files)
