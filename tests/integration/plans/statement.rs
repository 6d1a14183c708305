//! What is listed about a statement.

/// When a plan is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planned {
    /// Once for any values, as for what a connection of the ledger runs again and again.
    ForAnyValues,
    /// For the values at hand, as on the connections of reads and administration: filters that are not given are left out.
    ForTheseValues,
}

/// One way in which a statement is asked.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// What is asked.
    pub(super) what: &'static str,
    pub(super) planned: Planned,
    /// Values of parameters by their number, as SQL; the tenant is 1, any other that is not given is NULL.
    pub(super) values: Vec<(usize, &'static str)>,
    /// What the plan reads: `index (the columns of it that are looked for)`, or `all of table`.
    pub(super) reads: Vec<&'static str>,
    /// What the plan reads where row-level security confines it to the tenant, if that differs.
    pub(super) confined_reads: Option<Vec<&'static str>>,
    /// Whether an index has to have the rows in order.
    pub(super) in_order: bool,
    /// How many partitions of the events are read.
    pub(super) partitions: Option<usize>,
    /// Whether it may read a large table whole, because it is asked too seldom to deserve an index that every call pays for.
    pub(super) seldom: bool,
}

/// A file below `server/sql`.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) file: &'static str,
    pub(super) cases: Vec<Case>,
}

/// A statement of the ledger, planned once for any values.
pub(super) fn repeated<const READS: usize>(file: &'static str, reads: [&'static str; READS]) -> Statement {
    Statement { file, cases: vec![case("any values", Planned::ForAnyValues, &[], &reads)] }
}

/// A statement of reads or administration, whose plan depends on what is asked.
pub(super) fn asked<const CASES: usize>(file: &'static str, cases: [Case; CASES]) -> Statement {
    Statement { file, cases: Vec::from(cases) }
}

/// With these values, by the number of the parameter.
pub(super) fn with<const VALUES: usize, const READS: usize>(
    what: &'static str,
    values: [(usize, &'static str); VALUES],
    reads: [&'static str; READS],
) -> Case {
    case(what, Planned::ForTheseValues, &values, &reads)
}

fn case(what: &'static str, planned: Planned, values: &[(usize, &'static str)], reads: &[&'static str]) -> Case {
    Case {
        what,
        planned,
        values: values.to_vec(),
        reads: reads.to_vec(),
        confined_reads: None,
        in_order: false,
        partitions: None,
        seldom: false,
    }
}

impl Case {
    /// Confined to the tenant it reads this, at about the same cost.
    pub(super) fn confined<const READS: usize>(mut self, reads: [&'static str; READS]) -> Self {
        self.confined_reads = Some(reads.to_vec());
        self
    }

    /// An index has the rows in the order that is asked for: a page never costs more than its rows.
    pub(super) fn in_order(mut self) -> Self {
        self.in_order = true;
        self
    }

    /// It is asked once an hour: no index of a large table is worth its cost to every call for that.
    pub(super) fn once_an_hour(mut self) -> Self {
        self.seldom = true;
        self
    }

    /// Only so many partitions of the events are read.
    pub(super) fn of_partitions(mut self, count: usize) -> Self {
        self.partitions = Some(count);
        self
    }
}

impl Statement {
    /// Only so many partitions of the events are read with these values.
    pub(super) fn of_partitions<const VALUES: usize>(
        mut self,
        values: [(usize, &'static str); VALUES],
        count: usize,
    ) -> Self {
        for case in &mut self.cases {
            case.values = values.to_vec();
            case.partitions = Some(count);
        }
        self
    }

    /// Its name for the database.
    pub(super) fn name(&self) -> String {
        self.file.trim_end_matches(".sql").replace('/', "_")
    }
}
