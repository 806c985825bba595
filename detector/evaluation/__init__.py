"""What detections are worth, counted by the rules of ILSVRC, VOC and COCO, in numpy alone."""
