"""A speaker's gender from one second of speech: the library behind the notebooks and the programs in scripts/.

Its rooms stand in the order in which data flows, and each imports only rooms before it (`lint-imports` holds that):

    config, caching    paths, constants of the study, results of slow steps
    sound              reading files, finding speech, pitch, augmentation, the microphone
    corpora            who speaks in a folder of recordings, and which recordings it holds
    images             from a recording to its image in a view
    learning           from images to a trained network and its files
    judging            how good a network is, what it looks at, what a simpler method does
    answering          from anyone's recording to an answer
"""

import os

# ONNX Runtime would write an identifier under the user's cache and send events to its makers. The package is imported
# before any module of it, in workers, notebooks and tests alike, and so before ONNX Runtime.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
