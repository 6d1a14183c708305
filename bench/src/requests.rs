//! The requests of the scenarios, encoded ahead.

use std::sync::Arc;
use std::time::SystemTime;

use rand::rngs::StdRng;
use tollgate_proto::v1;

use crate::population::Population;
use crate::template::{EVENT, RESERVATION, Template};

/// Events of one batch: the most that the service takes.
pub(crate) const BATCH: usize = 500;

/// RecordUsage, one event of any session each.
pub(crate) fn events(population: &Population, count: usize, rng: &mut StdRng) -> Arc<[Template]> {
    (0..count).map(|_| single(event(population, population.any_session(rng), rng))).collect()
}

/// BatchRecordUsage, with events of any sessions.
pub(crate) fn batches(population: &Population, count: usize, rng: &mut StdRng) -> Arc<[Template]> {
    let mut batch = || {
        let events = (0..BATCH).map(|_| event(population, population.any_session(rng), rng)).collect();
        Template::new(&v1::BatchRecordUsageRequest { events, view: v1::ResponseView::Ack.into() })
    };
    (0..count).map(|_| batch()).collect()
}

/// CheckBudget that reserves, from any session.
pub(crate) fn reserving_checks(population: &Population, count: usize, rng: &mut StdRng) -> Arc<[Template]> {
    checks(population, count, RESERVATION, rng)
}

/// CheckBudget that only looks, from any session.
pub(crate) fn peeks(population: &Population, count: usize, rng: &mut StdRng) -> Arc<[Template]> {
    checks(population, count, "", rng)
}

/// A check and the event that settles it, for each of these sessions.
pub(crate) fn pairs(
    population: &Population,
    sessions: impl IntoIterator<Item = usize>,
    rng: &mut StdRng,
) -> (Arc<[Template]>, Arc<[Template]>) {
    let pair = |session| {
        let check = Template::new(&population.check(session, RESERVATION.to_owned(), rng));
        let mut event = event(population, session, rng);
        event.reservation = Some(v1::ReservationUse { reservation_id: RESERVATION.to_owned(), keep_open: false });
        (check, single(event))
    };
    let (checks, events): (Vec<_>, Vec<_>) = sessions.into_iter().map(pair).unzip();
    (checks.into(), events.into())
}

/// RecordUsage of this session.
pub(crate) fn event_of(population: &Population, session: usize, rng: &mut StdRng) -> Template {
    single(event(population, session, rng))
}

/// CheckBudget that reserves, from this session.
pub(crate) fn check_of(population: &Population, session: usize, rng: &mut StdRng) -> Template {
    Template::new(&population.check(session, RESERVATION.to_owned(), rng))
}

fn checks(population: &Population, count: usize, reservation: &str, rng: &mut StdRng) -> Arc<[Template]> {
    let mut check = || {
        let session = population.any_session(rng);
        Template::new(&population.check(session, reservation.to_owned(), rng))
    };
    (0..count).map(|_| check()).collect()
}

fn event(population: &Population, session: usize, rng: &mut StdRng) -> v1::UsageEvent {
    population.event(session, SystemTime::now(), EVENT.to_owned(), rng)
}

fn single(event: v1::UsageEvent) -> Template {
    Template::new(&v1::RecordUsageRequest { event: Some(event), view: v1::ResponseView::Ack.into() })
}
