"""Reading and writing safetensors files, as much of the format as the references need."""
import json
import struct

import numpy as np


def save(path, tensors, metadata):
    """tensors: name → numpy array of float32, uint8 or int32."""
    names = {np.dtype("float32"): "F32", np.dtype("uint8"): "U8", np.dtype("int32"): "I32"}
    header, blobs, offset = {"__metadata__": metadata}, [], 0
    for name, array in tensors.items():
        blob = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": names[array.dtype], "shape": list(array.shape),
                        "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(blobs)


def load(path):
    """name → numpy array, of a file of the same types."""
    types = {"F32": np.float32, "U8": np.uint8, "I32": np.int32}
    with open(path, "rb") as file:
        data = file.read()
    begin = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:begin])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        low, high = entry["data_offsets"]
        tensors[name] = np.frombuffer(data[begin + low:begin + high], types[entry["dtype"]]).reshape(entry["shape"])
    return tensors
