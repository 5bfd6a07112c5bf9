"""Saves and loads with Python packages, for benches/compare: python3 baselines.py FOLDER one|mixed BYTES

Writes one line of JSON: the installed packages, and the missing ones. Then, for each line
`save PACKAGE` or `load PACKAGE` on standard input, does that and writes one line of JSON with the
seconds that it took. A save is to a new file, and ends with an fsync, because none of these
packages does one by itself.
"""

import importlib
import json
import os
import pickle
import sys
import time

FOLDER, STATE, BYTES = sys.argv[1], sys.argv[2], int(sys.argv[3])


def lengths(size):
    """As `lengths` in states.rs: 50 arrays, a quarter of all bytes."""
    weights = [1 + number * 37 % 50 * 4 for number in range(50)]
    return [BYTES // 4 * weight // sum(weights) // size for weight in weights]


def make(numpy):
    """The arrays of the state, by name."""
    random = numpy.random.default_rng(1)
    if STATE == "one":
        return {"array": random.random(BYTES // 8)}
    arrays = {}
    for dtype, size in (("f8", 8), ("f4", 4), ("i4", 4), ("u1", 1)):
        for number, length in enumerate(lengths(size)):
            arrays[f"{dtype}.{number}"] = (random.random(length) * 200).astype(dtype)
    return arrays


def synced(path):
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.close(file)


class Pickle:
    name = "pickle, protocol 5"

    def save(self, path):
        with open(path, "wb") as file:
            pickle.dump(arrays, file, protocol=5)

    def load(self, path):
        with open(path, "rb") as file:
            return pickle.load(file)


class Numpy:
    name = "numpy.save" if STATE == "one" else "numpy.savez"

    def save(self, path):
        with open(path, "wb") as file:
            if STATE == "one":
                numpy.save(file, arrays["array"])
            else:
                numpy.savez(file, **arrays)

    def load(self, path):
        if STATE == "one":
            return numpy.load(path)
        with numpy.load(path) as file:
            return {name: file[name] for name in file.files}


class Safetensors:
    name = "safetensors"

    def __init__(self):
        self.module = importlib.import_module("safetensors.numpy")

    def save(self, path):
        self.module.save_file(arrays, path)

    def load(self, path):
        return self.module.load_file(path)


class H5py:
    name = "h5py"

    def __init__(self):
        self.module = importlib.import_module("h5py")

    def save(self, path):
        with self.module.File(path, "w") as file:
            for name, array in arrays.items():
                file.create_dataset(name, data=array)

    def load(self, path):
        with self.module.File(path, "r") as file:
            return {name: file[name][...] for name in file}


def measure(operation, package):
    path = os.path.join(FOLDER, "python." + package.name.partition(",")[0])
    if operation == "save":
        if os.path.exists(path):
            os.unlink(path)
        begun = time.perf_counter()
        package.save(path)
        synced(path)
        return time.perf_counter() - begun
    with open(path, "rb") as file:
        while file.read(1 << 20):
            pass
    begun = time.perf_counter()
    state = package.load(path)
    seconds = time.perf_counter() - begun
    del state
    return seconds


def answer(**what):
    print(json.dumps(what), flush=True)


try:
    import numpy
except ImportError:
    answer(packages=[], missing=["numpy is not installed, so nothing is measured; pip install numpy safetensors h5py"])
    sys.exit()

arrays = make(numpy)
packages, missing = {}, []
for kind in (Pickle, Numpy, Safetensors, H5py):
    try:
        packages[kind.name] = kind()
    except ImportError as error:
        missing.append(f"{kind.name} is left out: {error}")
answer(packages=list(packages), missing=missing)
for line in sys.stdin:
    operation, _, name = line.strip().partition(" ")
    try:
        answer(seconds=measure(operation, packages[name]))
    except Exception as error:
        answer(error=f"{type(error).__name__}: {error}")
