//! A person's right to be forgotten: one short transaction replaces the name by a pseudonym wherever sums stand in it, then what
//! only tells the name is erased in the background, a step at a time.

use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use sqlx::PgConnection;
use tokio::sync::Semaphore;
use tollgate_domain::dimensions::{Dimension, DimensionKey};
use tollgate_domain::erasure::{Eraser, KEY_BYTES, MovedScope};
use uuid::Uuid;

use super::error::Named;
use super::{App, AppError};
use crate::store::erasures::{self, NewErasure, Progress, Stage, StoredErasure, Taken, Which};
use crate::store::{StoreError, budgets, ledger};
use crate::tenant::TenantId;

/// Rows that one step looks at.
const STEP: i64 = 2_000;
/// Most erasures of a tenant at a time: every batch compares the reservations that it meets with each of them.
const RUNNING_LIMIT: i64 = 16;
/// When to try again where too many run.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// Erasures that begin at once: each waits for the tenant's writers on a connection that upkeep shares.
static BEGINNING: Semaphore = Semaphore::const_new(2);

/// Whom to erase.
#[derive(Clone, PartialEq, Eq)]
pub struct Subject {
    /// The dimension of the name.
    pub dimension: Dimension,
    /// The name.
    pub name: String,
}

impl std::fmt::Debug for Subject {
    /// Without the name: it has no place in a log.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Subject").field("dimension", &self.dimension).finish_non_exhaustive()
    }
}

impl App {
    /// How many events an erasure would concern.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn concerned_events(&self, tenant: TenantId, subject: &Subject) -> Result<u64, AppError> {
        let mut snapshot = self.snapshot(tenant).await?;
        let symbol = self.dictionary.find_symbol(&mut snapshot, tenant, subject.dimension, &subject.name).await?;
        Ok(match symbol {
            Some(symbol) => erasures::count_events(&mut snapshot, tenant, subject.dimension, symbol).await?,
            None => 0,
        })
    }

    /// Replaces the name by a pseudonym and begins to erase what else tells it. The same `request_id` again answers with the erasure
    /// that it began.
    ///
    /// The tenant's writers wait while it runs: for as long as it takes to move the person's counters and open reservations, and to
    /// look through all expired ones where a counter presumes something.
    ///
    /// # Errors
    /// [`AppError::BudgetBackfilling`], [`AppError::SubjectPinned`], [`AppError::Full`] and others.
    pub async fn erase_subject(
        &self,
        tenant: TenantId,
        subject: &Subject,
        request_id: Uuid,
        reason: &str,
    ) -> Result<StoredErasure, AppError> {
        let _begins = BEGINNING
            .try_acquire()
            .map_err(|_| AppError::Full { what: "the list of erasures that begin", retry_after: RETRY_AFTER })?;
        let mut transaction = ledger::begin_budget_upkeep(&self.all_tenants, tenant).await?;
        if let Some(known) = erasures::of_request(&mut transaction, tenant, request_id).await? {
            return Ok(known);
        }
        if erasures::count_running(&mut transaction, tenant).await? >= RUNNING_LIMIT {
            return Err(AppError::Full { what: "the list of erasures under way", retry_after: RETRY_AFTER });
        }
        let active = budgets::active(&mut transaction, tenant, 0).await?;
        if let Some(counting) = active.budgets.iter().find(|active| active.backfilling) {
            return Err(AppError::BudgetBackfilling(counting.budget.budget_id.clone()));
        }
        let now = ledger::clock(&mut transaction, tenant).await?.now;
        let mut eraser = Eraser::new(subject.dimension, &subject.name, fresh_key()?);
        erase_credentials(&mut transaction, tenant, subject, &eraser).await?;
        let symbol = erasures::rename(&mut transaction, tenant, &subject.name, &eraser).await?;
        let (moved, presuming) = move_counters(&mut transaction, tenant, subject, &eraser).await?;
        eraser.move_scopes(&moved);
        erase_reservations(&mut transaction, tenant, &eraser, Which::Open).await?;
        if presuming {
            // What they presume has to stand with the counters that moved.
            erase_reservations(&mut transaction, tenant, &eraser, Which::Expired).await?;
        }
        erasures::drop_pages(&mut transaction, tenant).await?;
        let erasure_id = Uuid::now_v7();
        let new = NewErasure { erasure_id, request_id, eraser: &eraser, symbol, moved: &moved, reason, now };
        erasures::insert(&mut transaction, tenant, &new).await?;
        let begun = erasures::get(&mut transaction, tenant, erasure_id).await?.ok_or(AppError::Internal)?;
        let erasures_version = ledger::clock(&mut transaction, tenant).await?.erasures_version;
        transaction.commit().await.map_err(StoreError::from)?;
        self.dictionary.noticed(tenant, erasures_version);
        tracing::info!(tenant = tenant.0, %erasure_id, pseudonym = eraser.pseudonym(), "an erasure was begun");
        self.hub.touch_tenant(tenant);
        Ok(begun)
    }

    /// How far an erasure has come.
    ///
    /// # Errors
    /// [`AppError::NotFound`] and others.
    pub async fn erasure(&self, tenant: TenantId, erasure_id: Uuid) -> Result<StoredErasure, AppError> {
        let mut snapshot = self.snapshot(tenant).await?;
        let found = erasures::get(&mut snapshot, tenant, erasure_id).await?;
        found.ok_or_else(|| AppError::NotFound { what: Named::Erasure, id: erasure_id.to_string() })
    }

    /// One step of the tenant's oldest erasure; says whether there is more to do.
    ///
    /// # Errors
    /// [`AppError`]; the same again goes on.
    pub async fn advance_erasure(&self, tenant: TenantId) -> Result<bool, AppError> {
        let mut transaction = crate::store::connect::begin(&self.all_tenants, "BEGIN").await?;
        let Some(taken) = erasures::take_oldest(&mut transaction, tenant).await? else { return Ok(false) };
        let progress = match taken.stage {
            Stage::Events => Some(drop_metadata(&mut transaction, tenant, &taken).await?),
            Stage::Reservations => Some(tell_reservations(&mut transaction, tenant, &taken).await?),
            Stage::Messages => {
                erase_alerts(&mut transaction, tenant, &taken.eraser).await?;
                erase_answers(&mut transaction, tenant, &taken.eraser).await?;
                None
            }
        };
        match progress {
            Some(progress) => erasures::advance(&mut transaction, tenant, taken.erasure_id, progress).await?,
            None => erasures::finish(&mut transaction, tenant, taken.erasure_id).await?,
        }
        transaction.commit().await.map_err(StoreError::from)?;
        if progress.is_none() {
            tracing::info!(tenant = tenant.0, erasure_id = %taken.erasure_id, "an erasure is done");
        }
        Ok(true)
    }
}

fn fresh_key() -> Result<[u8; KEY_BYTES], AppError> {
    let mut key = [0; KEY_BYTES];
    SystemRandom::new().fill(&mut key).map_err(|_| {
        tracing::error!("the system gives no random bytes");
        AppError::Internal
    })?;
    Ok(key)
}

/// Ends what watches the name, and takes it out of keys that ended. One that works would bring it back with its next call.
async fn erase_credentials(
    connection: &mut PgConnection,
    tenant: TenantId,
    subject: &Subject,
    eraser: &Eraser,
) -> Result<(), AppError> {
    let mut pinned = erasures::pinned_keys(connection, tenant).await?;
    pinned.retain_mut(|key| eraser.erase_from_json(&mut key.pinned));
    if let Some(working) = pinned.iter().find(|key| key.works) {
        return Err(AppError::SubjectPinned(working.api_key_id.to_string()));
    }
    for key in &pinned {
        erasures::write_pinned(connection, tenant, key).await?;
    }
    Ok(erasures::drop_view_tokens(connection, tenant, &subject.name).await?)
}

/// Moves the counters of budgets that count per name, and changes what budgets select. Says which counters moved, and whether one of
/// them presumes something.
async fn move_counters(
    connection: &mut PgConnection,
    tenant: TenantId,
    subject: &Subject,
    eraser: &Eraser,
) -> Result<(Vec<MovedScope>, bool), AppError> {
    let own = DimensionKey::Dimension(subject.dimension);
    let mut counting = std::collections::BTreeMap::new();
    for (number, mut budget) in erasures::budgets(connection, tenant).await? {
        if eraser.erase_from_budget(&mut budget) {
            erasures::write_budget(connection, tenant, number, &budget).await?;
        }
        if budget.per.contains(&own) {
            counting.insert(number, budget.per);
        }
    }
    let numbers: Vec<i64> = counting.keys().copied().collect();
    let mut moves = Vec::new();
    for counter in erasures::counters(connection, tenant, &numbers, &subject.name).await? {
        let keys = counting.get(&counter.budget).map(Vec::as_slice).unwrap_or_default();
        if let Some(values) = eraser.erase_from_counter(keys, &counter.per_values) {
            moves.push((MovedScope { budget: counter.budget, from: counter.scope, to: values.digest() }, values));
        }
    }
    let presuming = erasures::move_counters(connection, tenant, &moves).await?;
    Ok((moves.into_iter().map(|(moved, _)| moved).collect(), presuming))
}

/// Erases the name from one page of reservations; says where it ended, `None` = there are no more.
async fn erase_page(
    connection: &mut PgConnection,
    tenant: TenantId,
    eraser: &Eraser,
    which: Which,
    after: Uuid,
) -> Result<Option<Uuid>, StoreError> {
    let mut page = erasures::reservations(connection, tenant, after, which, STEP).await?;
    let last = page.last().map(|last| last.reservation_id);
    page.retain_mut(|one| {
        let told = one.context.as_mut().is_some_and(|context| eraser.erase_from_json(context));
        eraser.follow(&mut one.parts) | told
    });
    if !page.is_empty() {
        erasures::write_reservations(connection, tenant, &page).await?;
    }
    Ok(last)
}

async fn erase_reservations(
    connection: &mut PgConnection,
    tenant: TenantId,
    eraser: &Eraser,
    which: Which,
) -> Result<(), StoreError> {
    let mut after = Uuid::nil();
    while let Some(last) = erase_page(connection, tenant, eraser, which, after).await? {
        after = last;
    }
    Ok(())
}

async fn drop_metadata(connection: &mut PgConnection, tenant: TenantId, taken: &Taken) -> Result<Progress, StoreError> {
    let done = Progress { stage: Stage::Reservations, position: None, events_erased: 0 };
    let Some(symbol) = taken.symbol else { return Ok(done) };
    let after = taken.position.unwrap_or_default();
    let subject = (taken.eraser.dimension(), symbol);
    let page = erasures::events(connection, tenant, after, subject, STEP).await?;
    let Some((last, _)) = page.last().copied() else { return Ok(done) };
    let concerned: Vec<Uuid> = page.into_iter().filter_map(|(event, concerned)| concerned.then_some(event)).collect();
    if !concerned.is_empty() {
        erasures::drop_metadata(connection, tenant, &concerned).await?;
    }
    let events_erased = u64::try_from(concerned.len()).unwrap_or(u64::MAX);
    Ok(Progress { stage: Stage::Events, position: Some(last), events_erased })
}

async fn tell_reservations(
    connection: &mut PgConnection,
    tenant: TenantId,
    taken: &Taken,
) -> Result<Progress, StoreError> {
    let after = taken.position.unwrap_or_default();
    let last = erase_page(connection, tenant, &taken.eraser, Which::Any, after).await?;
    let stage = if last.is_some() { Stage::Reservations } else { Stage::Messages };
    Ok(Progress { stage, position: last, events_erased: 0 })
}

async fn erase_alerts(connection: &mut PgConnection, tenant: TenantId, eraser: &Eraser) -> Result<(), StoreError> {
    let mut after = Uuid::nil();
    loop {
        let mut page = erasures::alerts(connection, tenant, after, STEP).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.alert_id;
        page.retain_mut(|alert| {
            let followed = alert.counter.and_then(|(budget, scope)| Some((budget, eraser.followed(budget, scope)?)));
            alert.counter = followed.or(alert.counter);
            eraser.erase_from_json(&mut alert.subject) | followed.is_some()
        });
        if !page.is_empty() {
            erasures::write_alerts(connection, tenant, &page).await?;
        }
    }
}

async fn erase_answers(connection: &mut PgConnection, tenant: TenantId, eraser: &Eraser) -> Result<(), StoreError> {
    let mut after = (Uuid::nil(), String::new());
    loop {
        let mut page = erasures::answers(connection, tenant, (after.0, &after.1), STEP).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.request_id, last.step.clone());
        page.retain_mut(|answer| eraser.erase_from_json(&mut answer.answer));
        if !page.is_empty() {
            erasures::write_answers(connection, tenant, &page).await?;
        }
    }
}
