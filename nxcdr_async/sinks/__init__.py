"""Where records are stored. Nothing here knows the network.

- `factory`: which sink a location means. `protocol`: what a sink is, also one of your own.
- `ledger`: which parts of a range were read, and what is sealed.
- `matching`: which rows that were read are those stored; `merge`: the two made one, and no known value lost.
- `sql_sink`: what `sqlite`, `duckdb` and `postgresql/` do alike; `sql`: the ledger as tables.
- `folder/`: a file for each window, and the ledger beside them.
- `paths`, `files`, `locks`: where files may be, how they are written, and who writes them.

A run that is killed at any moment costs no row and leaves none twice. The SQL sinks store the rows of a window and its
entry in the ledger in one transaction (`SqlSink.write`). A folder notes what it is about to write, puts each file in
its place at once, then notes the window (`FolderSink.write`); `folder.recovery` clears away what was not noted.
"""
