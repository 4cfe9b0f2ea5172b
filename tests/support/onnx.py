"""Runs a graph on images: each is WIDTH HEIGHT FILE of raw bytes. Writes FILE.map and a line of JSON for each."""

import json
import sys

import numpy
import onnxruntime

model, *images = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 2
options.log_severity_level = 3
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
given = session.get_inputs()[0]
names = [output.name for output in session.get_outputs()]
for image in images:
    width, height, file = image.split(" ", 2)
    pixels = numpy.fromfile(file, numpy.uint8).reshape(1, int(height), int(width), 3)
    if given.name == "view":
        pixels = pixels.transpose(0, 3, 1, 2).astype(numpy.float32) / 255
    results = dict(zip(names, session.run(None, {given.name: pixels})))
    results["map"].tofile(file + ".map")
    line = {name: value[0].item() for name, value in results.items() if name != "map"}
    line["size"] = results["map"].shape[1:]
    print(json.dumps(line))
