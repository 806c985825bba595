"""GoogLeNet detection pipeline: region proposals, Inception v1 region classifier, mAP reports."""

__version__ = "0.1.0"
