"""The schema's history, run by `RecordStoreSql.migrate`."""
