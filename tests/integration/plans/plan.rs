//! What a plan reads.

use std::collections::BTreeSet;

use serde_json::Value;

use super::schema::Schema;

/// A plan, as EXPLAIN (FORMAT JSON) tells it.
#[derive(Debug)]
pub(super) struct Plan(pub(super) Value);

impl Plan {
    /// Every index with the columns of it that are looked for, and every table that is read whole. Partitions are told by
    /// their table.
    pub(super) fn reads(&self, schema: &Schema) -> BTreeSet<String> {
        let mut reads = BTreeSet::new();
        for node in self.nodes() {
            if let Some(name) = text(node, "Index Name") {
                let index = &schema.indexes[name];
                let columns = index.looked_for(text(node, "Index Cond").unwrap_or_default());
                reads.insert(format!("{} ({})", index.name, columns.join(", ")));
            }
            for arbiter in node["Conflict Arbiter Indexes"].as_array().into_iter().flatten() {
                reads.insert(format!("{} on conflict", schema.indexes[arbiter.as_str().unwrap()].name));
            }
        }
        reads.extend(self.tables_read_whole(schema).into_iter().map(|table| format!("all of {table}")));
        reads
    }

    /// Tables of which every row is read.
    pub(super) fn tables_read_whole(&self, schema: &Schema) -> BTreeSet<String> {
        let whole = self.nodes().into_iter().filter(|node| text(node, "Node Type") == Some("Seq Scan"));
        whole.map(|node| schema.table_of(text(node, "Relation Name").unwrap()).to_owned()).collect()
    }

    /// Whether all rows are read before the first one is known.
    pub(super) fn sorts_everything(&self) -> bool {
        self.nodes().into_iter().any(|node| text(node, "Node Type") == Some("Sort"))
    }

    /// Partitions of the events that were read, where the statement was run.
    pub(super) fn partitions_read(&self, schema: &Schema) -> BTreeSet<String> {
        let read = self.nodes().into_iter().filter(|node| node["Actual Loops"].as_u64().is_some_and(|loops| loops > 0));
        let names = read.filter_map(|node| text(node, "Relation Name"));
        names
            .filter(|name| schema.table_of(name) == "usage_event" && *name != "usage_event")
            .map(str::to_owned)
            .collect()
    }

    fn nodes(&self) -> Vec<&Value> {
        let mut nodes = vec![&self.0[0]["Plan"]];
        let mut next = 0;
        while let Some(node) = nodes.get(next).copied() {
            nodes.extend(node["Plans"].as_array().into_iter().flatten());
            next += 1;
        }
        nodes
    }
}

fn text<'a>(node: &'a Value, key: &str) -> Option<&'a str> {
    node[key].as_str()
}
