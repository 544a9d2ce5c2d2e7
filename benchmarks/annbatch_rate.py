"""Rows/s of annbatch's loader over one array; run by `benchmarks.reader_speed`, in an environment that has annbatch and zarrs.

python annbatch_rate.py ARRAY CHUNK_ROWS NUM_CHUNKS BATCH_SIZE
"""

import json
import sys
import time

import numpy as np
import zarr
import zarrs  # noqa: F401 - registers the codec pipeline
from annbatch import Loader

path, chunk_rows, num_chunks, batch_size = sys.argv[1], *map(int, sys.argv[2:])
zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
# annbatch wants what it holds at once to be a multiple of the batch.
num_chunks = -(-num_chunks * chunk_rows // batch_size) * batch_size // chunk_rows
loader = Loader(
    chunk_size=chunk_rows, preload_nchunks=num_chunks, batch_size=batch_size, shuffle=True, rng=np.random.default_rng(0)
)
loader.add_dataset(zarr.open_array(path, mode="r"))
started, num_rows = time.perf_counter(), 0
for batch in loader:
    num_rows += len(batch["X"])
print(json.dumps({"rate": num_rows / (time.perf_counter() - started)}))
