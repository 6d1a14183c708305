//! Indexes and partitions, by name.

use std::collections::HashMap;

use sqlx::PgConnection;

/// An index of a table, or of one of its partitions.
#[derive(Debug)]
pub(super) struct Index {
    /// Its name; of a partition's, that of the table's.
    pub(super) name: String,
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    /// Its name; of an expression, the function with the column.
    label: String,
    /// The column of the table by which conditions on it are known.
    table_column: String,
}

impl Index {
    /// The columns of the index that a condition names, in the order of the index.
    pub(super) fn looked_for(&self, condition: &str) -> Vec<&str> {
        let named: Vec<&str> = words(condition).collect();
        let columns = self.columns.iter().filter(|column| named.contains(&column.table_column.as_str()));
        columns.map(|column| column.label.as_str()).collect()
    }
}

/// The names of the database.
#[derive(Debug)]
pub(super) struct Schema {
    /// By name.
    pub(super) indexes: HashMap<String, Index>,
    /// Tables by the names of their partitions.
    partitioned: HashMap<String, String>,
}

impl Schema {
    /// As it is now.
    pub(super) async fn read(connection: &mut PgConnection) -> Self {
        let indexes: Vec<(String, String, Vec<String>, Vec<String>)> = sqlx::query_as(
            "SELECT
                own.relname::text,
                coalesce(above.relname, own.relname)::text,
                ARRAY(
                    SELECT pg_get_indexdef(own.oid, place, true) FROM generate_series(1, pg_index.indnkeyatts) AS place
                ),
                ARRAY(
                    SELECT attname::text FROM pg_attribute
                    WHERE attrelid = pg_index.indrelid AND attnum > 0 AND NOT attisdropped
                )
            FROM pg_index
            JOIN pg_class AS own ON own.oid = pg_index.indexrelid
            LEFT JOIN pg_inherits ON pg_inherits.inhrelid = own.oid
            LEFT JOIN pg_class AS above ON above.oid = pg_inherits.inhparent
            WHERE own.relnamespace = 'public'::regnamespace",
        )
        .fetch_all(&mut *connection)
        .await
        .unwrap();
        let partitions: Vec<(String, String)> = sqlx::query_as(
            "SELECT inhrelid::regclass::text, inhparent::regclass::text FROM pg_inherits
            JOIN pg_class ON pg_class.oid = inhrelid AND relkind = 'r'",
        )
        .fetch_all(connection)
        .await
        .unwrap();
        let index = |(own, name, definitions, table_columns): (String, String, Vec<String>, Vec<String>)| {
            let columns = definitions.iter().map(|definition| column(definition, &table_columns)).collect();
            (own, Index { name, columns })
        };
        Self { indexes: indexes.into_iter().map(index).collect(), partitioned: partitions.into_iter().collect() }
    }

    /// The table that this is a partition of, or itself.
    pub(super) fn table_of<'a>(&'a self, name: &'a str) -> &'a str {
        self.partitioned.get(name).map_or(name, String::as_str)
    }
}

fn column(definition: &str, table_columns: &[String]) -> Column {
    let table_column = words(definition).find(|word| table_columns.iter().any(|column| column == word)).unwrap();
    let label = match definition.split_once('(') {
        Some((function, _)) => format!("{function}({table_column})"),
        None => table_column.to_owned(),
    };
    Column { label, table_column: table_column.to_owned() }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|end: char| !end.is_alphanumeric() && end != '_')
}
