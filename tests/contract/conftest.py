from tests.contract.stores import open_store, store

__all__ = ["open_store", "store"]
