"""Who signed an image: policy.json, the evidence that registries have, and the judgement of it.

``policy`` reads what is wanted (containers-policy.json(5)), ``fetch`` brings what there is, ``judge`` decides
without a network, so that it can do so again from what was kept. Cryptography is that of libraries and of
gpgv; modules that import a library are imported when the first signature is looked at.
"""
