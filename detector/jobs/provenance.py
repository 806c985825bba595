"""What a run's report tells of its training: settings, times, data, network and environment."""

from collections.abc import Iterable

from detector.config import Config, dump_config
from detector.data.dataset import Dataset
from detector.jobs.stated_settings import settings_of_model
from detector.networks.backbones import backbone_facts
from detector.runs.environment import environment_notes
from detector.runs.history import stage_seconds, training_logs
from detector.runs.job import Job
from detector.runs.split import Split, data_notes
from detector.stages.evaluate import RunFacts


def run_facts(job: Job[Config], split: Split, methods: Iterable[str]) -> RunFacts:
    """What the report on a split tells of the run, which has detected there by `methods`."""
    return RunFacts(
        job.config.name,
        training_logs(job.run, pretrained=job.config.pretrain.steps > 0),
        stage_seconds(job.run),
        _provenance(job, split.dataset),
        environment_notes(),
        dump_config(job.config),
        {name: job.stage("detect", split.name, name).facts()["key"] for name in methods},
    )


def _provenance(job: Job[Config], dataset: Dataset) -> dict[str, str]:
    """Where the report's numbers come from."""
    config, trained = job.config, settings_of_model(job.run.model_path) or job.config
    network = backbone_facts(config.network.variant)
    return {
        **data_notes(dataset),
        "Network": f"{network.title}, {trained.finetune.steps} steps of fine-tuning",
        "Regions": f"{_regions_text(config)}, crops of {config.region.crop_size} pixels",
    }


def _regions_text(config: Config) -> str:
    """Where the regions come from."""
    source, cascade = config.proposals.source, config.cascade
    return f"{source}, the best {cascade.keep} of an image by the cascade" if cascade.is_used else source
