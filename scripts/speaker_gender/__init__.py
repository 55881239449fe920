"""A speaker's gender from one second of speech: the library behind the notebooks and the programs in scripts/.

Its rooms stand in the order in which data flows, and each imports only rooms before it (`lint-imports` holds that):

    config, caching    paths, settings, constants of the study, results of slow steps
    parallel           the same work for every recording, on this machine or on a cluster
    sound              reading files, finding speech, pitch, augmentation, the microphone
    corpora            who speaks in a folder of recordings, and which recordings it holds
    images             from a recording to its image in a view
    learning           from images to a trained network and its files
    classifying        from anyone's recording to an answer
    judging            how good a network is, what it looks at, what a simpler method does
    showing            figures, explanations of answers, the page
"""

import os

# ONNX Runtime would write an identifier under the user's cache and send events to its makers. The package is imported
# before any module of it, in workers, notebooks and tests alike, and so before ONNX Runtime.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# A thread of PyTorch's that waits should not spin: beside other programs, training would take ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# OpenBLAS's threads do, whatever they are told, and the matrices here are too small to need them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
