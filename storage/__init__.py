"""The database: tables, migrations, and the repository of studies, candidates and responses."""
