"""How large settings may be: beyond it a value is a slip of the keyboard that would overflow or fill memory."""

MANY = 1_000_000_000  # images, steps
REGIONS = 1_000_000  # of an image
BATCH = 65_536  # regions, crops or images of a batch
WORKERS = 512
SEED = 2**63 - 1
CROP = 1_024  # pixels along a side of a crop
SIDE = 8_192  # pixels of an image that is resized
CLASSES = 32_000  # labels are kept in 16 bits
SPLITS = 1_000  # joined
RATE = 100.0  # learning rates and weight decays
SCALE = 1e6  # factors, weights and scores
SMALL = 1e-6  # factors that something is divided by: above what float32 takes for 0
EPOCHS = 1e6
