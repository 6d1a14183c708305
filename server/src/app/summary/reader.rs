//! Reads what a summary needs in one snapshot: from rollups what they hold, from events the rest.

use std::collections::{HashMap, HashSet};

use rust_decimal::Decimal;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tollgate_domain::calendar::{Bucket, Granularity};
use tollgate_domain::dimensions::{Dimension, DimensionKey, DimensionMatch};
use tollgate_domain::measures::Measures;
use tollgate_domain::summary::{CostBasis, OrderMeasure, TimeBasis};
use tollgate_domain::window::Bounds;

use super::cells::{Cells, Entry, Ranks, SettledCell, Sink, greatest};
use super::class_cost::Sheets;
use super::condition::{Conditions, Selection};
use super::event::{self, NO_NUMBER};
use super::failure::Failure;
use super::key::{GroupKey, Part, ShapeTable};
use super::remainder::{difference, remainder};
use super::segment::Cut;
use crate::app::AppError;
use crate::store::dictionary::Dictionary;
use crate::store::summaries::{self, EventSelection, EventSource, FOLDED, OTHER_USERS, SummedEvent, UserSelection};
use crate::store::time::to_database;
use crate::tenant::TenantId;

/// Cells that are held at once where the greatest groups are sought among them.
const CELLS_LIMIT: usize = 20_000;
/// Groups among which the greatest are sought.
const GROUPS_LIMIT: usize = 100_000;

/// What is read.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// Output buckets, in order, that tile the range.
    pub(crate) buckets: Vec<Bucket>,
    /// How fine they are.
    pub(crate) granularity: Granularity,
    /// By which time events are placed.
    pub(crate) time_basis: TimeBasis,
    /// Which cost is summed and ranks groups.
    pub(crate) cost_basis: CostBasis,
    /// Whether the cost after corrections is wanted beside it.
    pub(crate) current: bool,
    /// Dimensions that are told apart.
    pub(crate) group_by: Vec<DimensionKey>,
    /// Conditions that all must hold.
    pub(crate) filter: Vec<DimensionMatch>,
    /// Whether durations are wanted.
    pub(crate) latency: bool,
    /// What ranks groups.
    pub(crate) measure: OrderMeasure,
    /// Most groups told apart; `None` = all.
    pub(crate) top: Option<usize>,
    /// Most cells of the answer.
    pub(crate) cells_limit: usize,
    /// Most events that may be read one by one.
    pub(crate) events_limit: i64,
}

impl Question {
    /// What a group is ranked by.
    fn rank_value(&self) -> impl Fn(&Measures) -> Decimal + Send + Sync + 'static {
        let (measure, basis) = (self.measure, self.cost_basis);
        move |measures| match (measure, basis) {
            (OrderMeasure::Usd, CostBasis::Reported) => {
                measures.reported_usd.map_or(Decimal::ZERO, |reported| reported.decimal())
            }
            _ => measure.of(measures),
        }
    }

    /// Whether corrections are read.
    fn corrections(&self) -> bool {
        self.current || self.cost_basis == CostBasis::Current
    }

    fn range(&self) -> Option<Bounds> {
        let (first, last) = (self.buckets.first()?, self.buckets.last()?);
        Some(Bounds { start: first.clipped.start, end: last.clipped.end })
    }

    fn names(&self, wanted: impl Fn(&DimensionKey) -> bool) -> bool {
        self.group_by.iter().chain(self.filter.iter().map(|condition| &condition.key)).any(wanted)
    }

    fn position_of(&self, dimension: Dimension) -> Option<usize> {
        self.group_by.iter().position(|key| *key == DimensionKey::Dimension(dimension))
    }

    /// Where it is read. Rollups know start times, the dimensions of shapes, and users; no durations, and nothing that
    /// is finer than a quarter of an hour.
    fn route(&self) -> Route {
        let in_shape = |key: &DimensionKey| matches!(key, DimensionKey::Dimension(name) if name.is_in_shape());
        let is_user = |key: &DimensionKey| *key == DimensionKey::Dimension(Dimension::UserId);
        let events = self.latency
            || self.granularity == Granularity::Minute
            || self.time_basis == TimeBasis::Charge
            || self.names(|key| !in_shape(key) && !is_user(key));
        match (events, self.names(is_user)) {
            (true, _) => Route::Events,
            (false, true) => Route::Users,
            (false, false) => Route::Shapes,
        }
    }
}

/// Where a summary is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    /// Rollups by shape.
    Shapes,
    /// Rollups by user and shape.
    Users,
    /// Events, one by one.
    Events,
}

/// Sums by output bucket, group of shapes, and whether they are corrections.
type GroupSums = HashMap<(i32, i32, bool), Measures>;

/// Everything that was read, groups folded to those that were asked for.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The cells with an event, in no order.
    pub(super) cells: Vec<(i32, GroupKey, SettledCell)>,
}

/// Reads the answer in the caller's snapshot.
///
/// # Errors
/// [`AppError::QueryTooWide`] where a bound is passed, and others.
pub(crate) async fn read(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    question: &Question,
) -> Result<Answer, AppError> {
    let conditions = Conditions::resolve(connection, dictionary, tenant, &question.filter).await?;
    let ids = summaries::shape_ids(connection, tenant).await?;
    let contents = dictionary.shapes(connection, tenant, ids).await?;
    let shapes = ShapeTable::new(&contents, &conditions.shape, &question.group_by);
    if conditions.match_nothing() || shapes.is_empty() || question.buckets.is_empty() {
        return Ok(Answer { cells: Vec::new() });
    }
    let sheet_ids = summaries::price_sheet_ids(connection, tenant).await?;
    let sheets = Sheets::new(dictionary.sheets(connection, tenant, sheet_ids).await?);
    let reader = Reader { tenant, question, conditions, shapes, sheets };
    let cells = reader.cells(connection).await?;
    Ok(Answer { cells: cells.settled(&reader.sheets, question.cost_basis)? })
}

struct Reader<'a> {
    tenant: TenantId,
    question: &'a Question,
    conditions: Conditions,
    shapes: ShapeTable,
    sheets: Sheets,
}

impl Reader<'_> {
    /// One pass where all cells can be held, else one that ranks the groups and one for the greatest.
    async fn cells(&self, connection: &mut PgConnection) -> Result<Cells, Failure> {
        let question = self.question;
        let top = question.top.filter(|_| !question.group_by.is_empty());
        let limit = if top.is_some() { CELLS_LIMIT.max(question.cells_limit) } else { question.cells_limit };
        let mut cells = Cells::new(limit, question.latency);
        match (self.pass(connection, &mut cells, &question.buckets, None).await, top) {
            (Ok(()), top) => {
                let Some(count) = top else { return Ok(cells) };
                let chosen = greatest(cells.ranks(question.cost_basis, question.rank_value())?, count);
                cells.folded(&chosen)
            }
            (Err(Failure::TooMany), Some(count)) => {
                let chosen = self.chosen(connection, count).await?;
                let mut cells = Cells::new(question.cells_limit, question.latency);
                self.pass(connection, &mut cells, &question.buckets, Some(&chosen)).await?;
                Ok(cells)
            }
            (Err(failure), _) => Err(failure),
        }
    }

    /// The greatest groups over the whole range.
    async fn chosen(&self, connection: &mut PgConnection, count: usize) -> Result<HashSet<GroupKey>, Failure> {
        let Some(range) = self.question.range() else { return Ok(HashSet::new()) };
        let whole = [Bucket { start: range.start, clipped: range, partial: false }];
        let mut ranks = Ranks::new(GROUPS_LIMIT, self.question.cost_basis, self.question.rank_value());
        self.pass(connection, &mut ranks, &whole, None).await?;
        Ok(greatest(ranks.into_ranks(), count))
    }

    /// Reads everything once into `sink`. With `chosen`, only those groups are told apart.
    async fn pass<S: Sink>(
        &self,
        connection: &mut PgConnection,
        sink: &mut S,
        buckets: &[Bucket],
        chosen: Option<&HashSet<GroupKey>>,
    ) -> Result<(), Failure> {
        let route = self.question.route();
        if route == Route::Events {
            let spans = self.question.range().into_iter().collect();
            return self.events(connection, sink, buckets, spans, chosen).await;
        }
        let cut = Cut::of(buckets);
        if !cut.segments.is_empty() {
            if route == Route::Shapes {
                self.sums_by_shape(connection, sink, &cut, chosen).await?;
            } else {
                self.sums_by_user(connection, sink, &cut, chosen).await?;
            }
        }
        self.events(connection, sink, buckets, cut.edges, chosen).await
    }

    async fn sums_by_shape<S: Sink>(
        &self,
        connection: &mut PgConnection,
        sink: &mut S,
        cut: &Cut,
        chosen: Option<&HashSet<GroupKey>>,
    ) -> Result<(), Failure> {
        let groups = self.shapes.groups(|key| chosen.is_none_or(|chosen| chosen.contains(key)));
        let mut seen = Seen::new(sink.limit());
        let (corrections, limit) = (self.question.corrections(), seen.rows());
        summaries::each_sum_by_shape(connection, self.tenant, &cut.segments, &groups, corrections, limit, |sum| {
            seen.count(sum.adjustment)?;
            let entry = Entry::of_sum(sum.adjustment);
            sink.add_sums(sum.output, self.shapes.key(sum.group), entry, sum.version, &sum.measures)
        })
        .await
    }

    async fn sums_by_user<S: Sink>(
        &self,
        connection: &mut PgConnection,
        sink: &mut S,
        cut: &Cut,
        chosen: Option<&HashSet<GroupKey>>,
    ) -> Result<(), Failure> {
        let position = self.question.position_of(Dimension::UserId);
        let selection = self.conditions.entities.get(&Dimension::UserId);
        let listed = selection.and_then(Selection::of_present);
        let nobody = listed.as_ref().is_some_and(|(users, negated)| users.is_empty() && !negated);
        let told_apart = |key: &GroupKey| chosen.is_none_or(|chosen| chosen.contains(key));
        let mut of_users = GroupSums::default();
        if !nobody {
            let groups = self.shapes.groups(|key| position.is_some() || told_apart(key));
            let (users, negated) = listed.map_or((None, false), |(users, negated)| (Some(users), negated));
            let pairs = chosen.zip(position).map(|(chosen, position)| self.pairs(chosen, position));
            let users = UserSelection { users, negated, apart: position.is_some(), chosen: pairs };
            let mut seen = Seen::new(GROUPS_LIMIT);
            let (corrections, limit) = (self.question.corrections(), seen.rows());
            let segments = &cut.segments;
            summaries::each_sum_by_user(
                connection,
                self.tenant,
                segments,
                &groups,
                &users,
                corrections,
                limit,
                |sum| {
                    seen.count(sum.adjustment)?;
                    let key = self.shapes.key(sum.group);
                    if selection.is_none() {
                        let group = if told_apart(&key) { sum.group } else { FOLDED };
                        of_users.entry((sum.output, group, sum.adjustment)).or_default().add(&sum.measures)?;
                    }
                    let key = match position {
                        Some(_) if sum.user == OTHER_USERS => GroupKey::other(),
                        Some(position) => key.with(position, Part::Number(sum.user)),
                        None => key,
                    };
                    sink.add_sums(sum.output, key, Entry::of_sum(sum.adjustment), sum.version, &sum.measures)
                },
            )
            .await?;
        }
        match selection {
            Some(selection) if !selection.accepts(NO_NUMBER) => Ok(()),
            Some(_) => {
                let of_users = self.sums_of_users(connection, sink.limit(), cut, chosen).await?;
                self.sums_without_user(connection, sink, cut, chosen, of_users).await
            }
            None => self.sums_without_user(connection, sink, cut, chosen, of_users).await,
        }
    }

    /// What all users together used, by output and group.
    async fn sums_of_users(
        &self,
        connection: &mut PgConnection,
        limit: usize,
        cut: &Cut,
        chosen: Option<&HashSet<GroupKey>>,
    ) -> Result<GroupSums, Failure> {
        let groups = self.shapes.groups(|key| chosen.is_none_or(|chosen| chosen.contains(key)));
        let everybody = UserSelection::default();
        let mut seen = Seen::new(limit);
        let (corrections, limit) = (self.question.corrections(), seen.rows());
        let segments = &cut.segments;
        let mut sums = GroupSums::default();
        summaries::each_sum_by_user(
            connection,
            self.tenant,
            segments,
            &groups,
            &everybody,
            corrections,
            limit,
            |sum| {
                seen.count(sum.adjustment)?;
                sums.insert((sum.output, sum.group, sum.adjustment), sum.measures);
                Ok::<(), Failure>(())
            },
        )
        .await?;
        Ok(sums)
    }

    /// Chosen groups as pairs of a shapes' group and a user.
    fn pairs(&self, chosen: &HashSet<GroupKey>, position: usize) -> (Vec<i32>, Vec<i64>) {
        let pair = |key: &GroupKey| {
            let Part::Number(user) = *key.part(position) else { return None };
            Some((self.shapes.number(&key.clone().with(position, Part::Absent))?, user))
        };
        chosen.iter().filter_map(pair).unzip()
    }

    /// What is in the rollups by shape but not in those by user.
    async fn sums_without_user<S: Sink>(
        &self,
        connection: &mut PgConnection,
        sink: &mut S,
        cut: &Cut,
        chosen: Option<&HashSet<GroupKey>>,
        mut of_users: GroupSums,
    ) -> Result<(), Failure> {
        let groups = self.shapes.groups(|key| chosen.is_none_or(|chosen| chosen.contains(key)));
        let mut seen = Seen::new(sink.limit());
        let (corrections, limit) = (self.question.corrections(), seen.rows());
        summaries::each_sum_by_shape(connection, self.tenant, &cut.segments, &groups, corrections, limit, |sum| {
            seen.count(sum.adjustment)?;
            let of_users = of_users.remove(&(sum.output, sum.group, sum.adjustment)).unwrap_or_default();
            let entry = Entry::of_sum(sum.adjustment);
            let left = match entry {
                // Corrections of as many attempts as they took back may still have changed every other sum.
                Entry::Added | Entry::Reversed => Some(difference(&sum.measures, &of_users)?),
                Entry::Charged => remainder(&sum.measures, &of_users)?,
            };
            match left {
                Some(left) => sink.add_sums(sum.output, self.shapes.key(sum.group), entry, sum.version, &left),
                None => Ok(()),
            }
        })
        .await
    }

    /// Reads the events of `spans` one by one.
    async fn events<S: Sink>(
        &self,
        connection: &mut PgConnection,
        sink: &mut S,
        buckets: &[Bucket],
        spans: Vec<Bounds>,
        chosen: Option<&HashSet<GroupKey>>,
    ) -> Result<(), Failure> {
        if spans.is_empty() {
            return Ok(());
        }
        let limit = self.question.events_limit;
        let sessions = self.conditions.entities.get(&Dimension::SessionId).and_then(Selection::listed);
        let sessions = sessions.filter(|numbers| !numbers.contains(&NO_NUMBER));
        let sessions: Option<Vec<i64>> = sessions.map(|numbers| numbers.iter().copied().collect());
        self.check_events(connection, &spans, sessions.as_deref()).await?;
        let selection = EventSelection {
            source: self.source(spans, sessions),
            shapes: (!self.shapes.all_count).then(|| self.shapes.shapes()),
            entity: self.narrowest_entity(),
            labels: self.conditions.need_labels()
                || self.question.group_by.iter().any(|key| matches!(key, DimensionKey::Label(_))),
        };
        let outputs = Outputs::new(buckets);
        let mut seen = 0_i64;
        let mut visit = |candidate: &SummedEvent| {
            seen += 1;
            if seen > limit {
                return Err(self.too_many_events().into());
            }
            let at = match self.question.time_basis {
                TimeBasis::Start => candidate.start_time,
                TimeBasis::Charge => candidate.charge_time,
            };
            let (Some(output), Some(group)) = (outputs.find(at), self.shapes.group(candidate.shape_id)) else {
                return Ok(());
            };
            if !self.conditions.accept(candidate) {
                return Ok(());
            }
            let mut key = self.shapes.key(group);
            for (position, dimension) in self.question.group_by.iter().enumerate() {
                if let Some(part) = event::part(candidate, dimension) {
                    key = key.with(position, part);
                }
            }
            if chosen.is_some_and(|chosen| !chosen.contains(&key)) {
                key = GroupKey::other();
            }
            sink.add_event(output, key, candidate, &self.sheets)
        };
        let rows = limit.saturating_add(1);
        summaries::each_event(connection, self.tenant, &selection, rows, &mut visit).await?;
        if self.question.corrections() {
            summaries::each_adjustment(connection, self.tenant, &selection, rows, &mut visit).await?;
        }
        Ok(())
    }

    /// Counts from the totals what would be read, and refuses what is too much before any of it is read.
    async fn check_events(
        &self,
        connection: &mut PgConnection,
        spans: &[Bounds],
        sessions: Option<&[i64]>,
    ) -> Result<(), Failure> {
        let limit = self.question.events_limit;
        if let Some(sessions) = sessions
            && summaries::count_session_events(connection, self.tenant, sessions).await? <= limit
        {
            return Ok(());
        }
        let count = summaries::count_events(connection, self.tenant, &Cut::around(spans)).await?;
        if count > limit { Err(self.too_many_events().into()) } else { Ok(()) }
    }

    fn too_many_events(&self) -> AppError {
        AppError::QueryTooWide(format!(
            "it would read more than {} events one by one; ask for a shorter range or a filter on session_id, or leave \
             out what the rollups do not hold: minutes, charge times, latencies, labels, positions, and dimensions with \
             many values other than user_id",
            self.question.events_limit
        ))
    }

    fn source(&self, spans: Vec<Bounds>, sessions: Option<Vec<i64>>) -> EventSource {
        let by_charge = self.question.time_basis == TimeBasis::Charge;
        match (sessions, by_charge) {
            // The index is by start: what was charged in the range may have started at any time.
            (Some(sessions), true) => EventSource::Sessions(sessions, Bounds::LIFETIME),
            (Some(sessions), false) => EventSource::Sessions(sessions, hull(&spans)),
            (None, true) => EventSource::Charged(spans),
            (None, false) => EventSource::Started(spans),
        }
    }

    /// The condition with the fewest numbers: the database applies it, the others are applied to what it answers.
    fn narrowest_entity(&self) -> Option<(Dimension, Vec<i64>)> {
        let listed = self
            .conditions
            .entities
            .iter()
            .filter_map(|(dimension, selection)| selection.listed().map(|numbers| (*dimension, numbers)));
        let (dimension, numbers) = listed.min_by_key(|(_, numbers)| numbers.len())?;
        Some((dimension, numbers.iter().copied().collect()))
    }
}

/// Finds the output bucket of an instant.
struct Outputs {
    spans: Vec<(OffsetDateTime, OffsetDateTime)>,
}

impl Outputs {
    fn new(buckets: &[Bucket]) -> Self {
        let span = |bucket: &Bucket| (to_database(bucket.clipped.start), to_database(bucket.clipped.end));
        Self { spans: buckets.iter().map(span).collect() }
    }

    fn find(&self, at: OffsetDateTime) -> Option<i32> {
        let position = self.spans.partition_point(|(start, _)| *start <= at).checked_sub(1)?;
        let (_, end) = self.spans.get(position)?;
        if at < *end { i32::try_from(position).ok() } else { None }
    }
}

fn hull(spans: &[Bounds]) -> Bounds {
    let start = spans.iter().map(|span| span.start).min();
    let end = spans.iter().map(|span| span.end).max();
    start.zip(end).map_or(Bounds::LIFETIME, |(start, end)| Bounds { start, end })
}

/// Counts sums of one statement, those of corrections apart: neither kind may be more than a limit.
struct Seen {
    charged: usize,
    corrected: usize,
    limit: usize,
}

impl Seen {
    fn new(limit: usize) -> Self {
        Self { charged: 0, corrected: 0, limit }
    }

    /// How many rows to ask for, so that passing the limit is seen.
    fn rows(&self) -> i64 {
        i64::try_from(self.limit.saturating_mul(2).saturating_add(2)).unwrap_or(i64::MAX)
    }

    fn count(&mut self, adjustment: bool) -> Result<(), Failure> {
        let seen = if adjustment { &mut self.corrected } else { &mut self.charged };
        *seen += 1;
        if *seen > self.limit { Err(Failure::TooMany) } else { Ok(()) }
    }
}
