"""The Open Inference Protocol (KServe V2, REST) with Triton's binary tensors: predictions for clients that speak it.

https://github.com/kserve/open-inference-protocol and Triton's `extension_binary_data.md`. A row of the tensors is one
request to predict: it goes through the same use case, is recorded the same way, and gets the same answer.
"""

from services.entrypoints.oip.routes import InferenceRoutes

__all__ = ["InferenceRoutes"]
