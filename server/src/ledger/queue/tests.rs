//! The queue by itself: what shares a batch, who is served when, and who has to wait.

use futures::FutureExt as _;

use tollgate_domain::dimensions::Dimensions;
use tollgate_domain::price::{Catalog, Estimate, FreeProviders, PriceBook};
use uuid::Uuid;

use super::*;
use crate::ledger::{CheckPlan, Claim, Pins, Reserve};

/// Far from every bound but what a test is about.
const WIDE: Bounds = Bounds { items: 100, bytes: 1 << 20, writers: 4, batch_items: 10 };

fn release(id: u128) -> (Command, tokio::sync::oneshot::Receiver<Result<crate::ledger::ReleaseAnswer, AppError>>) {
    let (reply, answer) = crate::ledger::command::Reply::new();
    (Command::Release { id: Uuid::from_u128(id), reason: String::new(), pins: Pins::default(), reply }, answer)
}

fn ids(commands: &[Command]) -> Vec<u128> {
    commands.iter().filter_map(|command| Some(command.reservation_id()?.as_u128())).collect()
}

#[tokio::test]
async fn invariant_10_a_full_queue_says_so_at_once() {
    let (queue, _intake) = bounded(Bounds { items: 1, ..WIDE });
    queue.push(TenantId::LOCAL, release(1).0, None).unwrap();
    assert!(matches!(queue.push(TenantId::LOCAL, release(2).0, None), Err(AppError::Full { .. })));
    let (queue, _intake) = bounded(Bounds { bytes: 1, ..WIDE });
    assert!(matches!(queue.push(TenantId::LOCAL, release(1).0, None), Err(AppError::Full { .. })));
    queue.close();
}

#[tokio::test]
async fn two_changes_of_one_reservation_never_share_a_batch() {
    let (queue, intake) = bounded(WIDE);
    for id in [1, 1, 2] {
        queue.push(TenantId::LOCAL, release(id).0, None).unwrap();
    }
    queue.close();
    let next = async || intake.next_batch().await.map(|batch| ids(&batch.commands));
    assert_eq!(next().await.unwrap(), [1, 2]);
    assert_eq!(next().await.unwrap(), [1]);
    assert!(next().await.is_none());
}

#[tokio::test]
async fn what_arrives_during_a_turn_shares_the_next_batch() {
    let (queue, intake) = bounded(WIDE);
    queue.push(TenantId::LOCAL, release(1).0, None).unwrap();
    let first = intake.next_batch().await.unwrap();
    for id in [2, 3] {
        queue.push(TenantId::LOCAL, release(id).0, None).unwrap();
    }
    let mut second = std::pin::pin!(intake.next_batch());
    assert!(second.as_mut().now_or_never().is_none(), "its tenant's turn is taken");
    drop(first.turn);
    assert_eq!(ids(&second.await.unwrap().commands), [2, 3]);
}

#[tokio::test]
async fn a_tenant_whose_turn_lasts_holds_up_no_other() {
    let (queue, intake) = bounded(WIDE);
    let other = TenantId(2);
    for (tenant, id) in [(TenantId::LOCAL, 1), (TenantId::LOCAL, 2), (other, 3)] {
        queue.push(tenant, release(id).0, None).unwrap();
    }
    let one = intake.next_batch().await.unwrap();
    let two = intake.next_batch().await.unwrap();
    assert_eq!((one.tenant, two.tenant), (TenantId::LOCAL, other));
    for (tenant, id) in [(TenantId::LOCAL, 4), (other, 5)] {
        queue.push(tenant, release(id).0, None).unwrap();
    }
    drop(two.turn);
    drop(one.turn);
    assert_eq!(intake.next_batch().await.unwrap().tenant, other, "who is free first is served first");
}

#[tokio::test]
async fn behind_a_full_batch_the_next_one_follows_at_once() {
    let (queue, intake) = bounded(Bounds { batch_items: 2, ..WIDE });
    for id in [1, 2, 3] {
        queue.push(TenantId::LOCAL, release(id).0, None).unwrap();
    }
    let first = intake.next_batch().await.unwrap();
    let second = intake.next_batch().await.unwrap();
    assert_eq!([ids(&first.commands), ids(&second.commands)], [vec![1, 2], vec![3]]);
}

#[tokio::test]
async fn all_writers_end_when_a_closed_queue_is_empty() {
    let (queue, intake) = bounded(WIDE);
    queue.push(TenantId::LOCAL, release(1).0, None).unwrap();
    let last = intake.next_batch().await.unwrap();
    let writers: Vec<_> = (0..3)
        .map(|_| {
            let intake = intake.clone();
            tokio::spawn(async move { intake.next_batch().await.is_none() })
        })
        .collect();
    queue.close();
    assert!(matches!(queue.push(TenantId::LOCAL, release(2).0, None), Err(AppError::ShuttingDown)));
    drop(last.turn);
    for writer in writers {
        assert!(writer.await.unwrap());
    }
}

const QUIET: TenantId = TenantId(2);

fn reserve(id: u128) -> Command {
    let reserve = Reserve {
        id: Uuid::from_u128(id),
        fingerprint: Uuid::nil(),
        plan: CheckPlan {
            dimensions: Dimensions::default(),
            demands: Vec::new(),
            estimate: Estimate::default(),
            headroom: false,
            prices: Arc::new(PriceBook::of_catalog(Catalog::builtin().unwrap(), FreeProviders::default())),
            priced_at: jiff::Timestamp::UNIX_EPOCH,
        },
        ttl: Duration::ZERO,
        claim: Claim::default(),
    };
    Command::Reserve(Box::new(reserve), crate::ledger::command::Reply::new().0)
}

fn expire(id: u128) -> Command {
    Command::Expire { id: Uuid::from_u128(id), reply: crate::ledger::command::Reply::new().0 }
}

/// How many releases of the tenant find room, one after the other.
fn pushed(queue: &Queue, tenant: TenantId) -> usize {
    (0..).take_while(|id| queue.push(tenant, release(1_000 + id).0, None).is_ok()).count()
}

#[tokio::test]
async fn invariant_10_a_tenant_fills_its_share_and_no_more() {
    let (queue, intake) = bounded(Bounds { items: 80, ..WIDE });
    assert_eq!(pushed(&queue, TenantId::LOCAL), 70, "alone: all but the reserve");
    assert_eq!(pushed(&queue, QUIET), 10, "who comes finds the reserve");
    let Err(AppError::Full { what, .. }) = queue.push(TenantId::LOCAL, release(1).0, None) else {
        panic!("the flood is above its share");
    };
    assert!(what.contains("share") || what.contains("queue"), "{what}");
    let taken = intake.next_batch().await.unwrap();
    assert_eq!((taken.tenant, taken.commands.len()), (TenantId::LOCAL, 10));
    assert_eq!(pushed(&queue, TenantId::LOCAL), 0, "its share is half of it now, and it is still above it");
    assert_eq!(pushed(&queue, QUIET), 10, "what became free goes to those below their shares");
}

#[tokio::test]
async fn a_tenant_fills_its_share_of_bytes_and_no_more() {
    let weight = release(1).0.weight();
    let (queue, _intake) = bounded(Bounds { bytes: 80 * weight, ..WIDE });
    assert_eq!(pushed(&queue, TenantId::LOCAL), 70);
    assert_eq!(pushed(&queue, QUIET), 10);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_is_gone_shares_no_more() {
    let (queue, intake) = bounded(Bounds { items: 80, ..WIDE });
    queue.push(QUIET, release(1).0, None).unwrap();
    drop(intake.next_batch().await);
    assert_eq!(pushed(&queue, TenantId::LOCAL), 35);
    tokio::time::advance(LINGER * 2).await;
    assert_eq!(pushed(&queue, TenantId::LOCAL), 35, "alone again");
}

#[tokio::test]
async fn one_writer_is_left_to_the_others() {
    let (queue, intake) = bounded(Bounds { batch_items: 200, items: 1_000, writers: 2, ..WIDE });
    queue.push(QUIET, release(1).0, None).unwrap();
    drop(intake.next_batch().await);
    for id in 0..300 {
        queue.push(TenantId::LOCAL, release(id).0, None).unwrap();
    }
    let flood = intake.next_batch().await.unwrap();
    assert_eq!((flood.commands.len(), flood.turn.is_none()), (50, true), "not the whole batch");
    assert!(intake.next_batch().now_or_never().is_none(), "the second writer stays free");
    queue.push(QUIET, release(2).0, None).unwrap();
    assert_eq!(intake.next_batch().await.unwrap().tenant, QUIET);
    drop(flood);
    assert_eq!(intake.next_batch().await.unwrap().tenant, TenantId::LOCAL);
}

#[tokio::test]
async fn what_settles_comes_first_and_nobody_waits_for_ever() {
    let (queue, intake) = bounded(Bounds { batch_items: 8, ..WIDE });
    for id in 0..10 {
        queue.push(TenantId::LOCAL, expire(100 + id), None).unwrap();
        queue.push(TenantId::LOCAL, reserve(200 + id), None).unwrap();
        queue.push(TenantId::LOCAL, release(300 + id).0, None).unwrap();
    }
    let first = ids(&intake.next_batch().await.unwrap().commands);
    assert_eq!(first, [300, 301, 302, 303, 304, 200, 201, 100]);
    let mut checks = Vec::new();
    queue.close();
    while let Some(batch) = intake.next_batch().await {
        checks.extend(ids(&batch.commands).into_iter().filter(|id| (200..300).contains(id)));
    }
    assert_eq!(checks, (202..210).collect::<Vec<_>>(), "checks keep the order of their arrival");
}

#[tokio::test]
async fn nothing_passes_an_earlier_command_of_its_reservation() {
    let (queue, intake) = bounded(WIDE);
    queue.push(TenantId::LOCAL, reserve(1), None).unwrap();
    queue.push(TenantId::LOCAL, release(1).0, None).unwrap();
    queue.push(TenantId::LOCAL, release(2).0, None).unwrap();
    queue.close();
    let first = intake.next_batch().await.unwrap();
    assert_eq!(ids(&first.commands), [2, 1]);
    assert!(matches!(first.commands.last(), Some(Command::Reserve(..))), "the release of 1 waits for its check");
    drop(first);
    assert_eq!(ids(&intake.next_batch().await.unwrap().commands), [1]);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_late_is_dropped_before_it_is_in_a_batch() {
    let (queue, intake) = bounded(WIDE);
    let (late, mut told) = release(1);
    queue.push(TenantId::LOCAL, late, Some(Instant::now() + Duration::from_secs(1))).unwrap();
    let (timely, mut waits) = release(2);
    queue.push(TenantId::LOCAL, timely, Some(Instant::now() + Duration::from_secs(3))).unwrap();
    tokio::time::advance(Duration::from_secs(2)).await;
    let batch = intake.next_batch().await.unwrap();
    assert_eq!(ids(&batch.commands), [2]);
    assert!(matches!(told.try_recv(), Ok(Err(AppError::DeadlineExceeded))));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(waits.try_recv().is_err(), "what is in a batch is answered by its commit alone");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_would_wait_too_long_is_refused_at_once() {
    let (queue, intake) = bounded(WIDE);
    let soon = || Some(Instant::now() + Duration::from_millis(100));
    queue.push(TenantId::LOCAL, release(1).0, soon()).unwrap();
    let batch = intake.next_batch().await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    drop(batch);
    queue
        .push(TenantId::LOCAL, release(2).0, soon())
        .expect("an empty lane takes it: only so is the pace measured anew");
    let refused = queue.push(TenantId::LOCAL, release(3).0, soon());
    let about_a_second = Duration::from_secs(1)..Duration::from_secs(2);
    assert!(matches!(refused, Err(AppError::TooSlow { retry_after }) if about_a_second.contains(&retry_after)));
    queue.push(TenantId::LOCAL, release(3).0, Some(Instant::now() + Duration::from_secs(5))).unwrap();
    queue.push(TenantId::LOCAL, release(4).0, None).unwrap();
    for refused in [queue.room(TenantId::LOCAL, soon()).err(), queue.claim(TenantId::LOCAL, 1, soon()).err()] {
        assert!(matches!(refused, Some(AppError::TooSlow { .. })), "nothing is made ready for it");
    }
}

#[tokio::test]
async fn places_are_kept_for_commands_to_come() {
    let (queue, intake) = bounded(Bounds { items: 80, ..WIDE });
    let mut places = queue.claim(TenantId::LOCAL, 100, None).unwrap();
    assert_eq!(places.count(), 70, "the reserve is left");
    for beyond in [
        places.beyond(),
        queue.claim(TenantId::LOCAL, 1, None).unwrap_err(),
        queue.room(TenantId::LOCAL, None).unwrap_err(),
    ] {
        assert!(matches!(beyond, AppError::Full { what, .. } if what.contains("share")), "{beyond}");
    }
    assert!(queue.push(TenantId::LOCAL, release(1).0, None).is_err(), "the places are others'");
    queue.room(TenantId(2), None).unwrap();
    places.push(release(2).0, None).unwrap();
    assert_eq!((places.count(), queue.waiting().0), (69, 1));
    drop(places);
    let again = queue.claim(TenantId::LOCAL, 100, None).unwrap();
    assert_eq!(again.count(), 69, "what was not used is free, and one command waits");
    drop(again);
    drop(intake.next_batch().await.unwrap());
    let waiting = queue.shared.waiting();
    assert!(waiting.claimed == 0 && waiting.lanes[&TenantId::LOCAL].is_idle());
}

#[tokio::test]
async fn a_place_that_nobody_used_keeps_no_lane() {
    let (queue, intake) = bounded(WIDE);
    drop(queue.claim(TenantId::LOCAL, 5, None).unwrap());
    assert!(queue.shared.waiting().lanes.is_empty());
    queue.push(TenantId::LOCAL, release(1).0, None).unwrap();
    drop(intake.next_batch().await);
    drop(queue.claim(TenantId::LOCAL, 5, None).unwrap());
    assert!(queue.shared.waiting().lanes[&TenantId::LOCAL].idle_since.is_some());
    queue.close();
    assert!(matches!(queue.claim(TenantId::LOCAL, 1, None), Err(AppError::ShuttingDown)));
    assert!(matches!(queue.room(TenantId::LOCAL, None), Err(AppError::ShuttingDown)), "not: come back");
}

#[tokio::test(start_paused = true)]
async fn a_light_lane_that_waits_is_served_before_whole_batches() {
    let (queue, intake) = bounded(Bounds { writers: 2, ..WIDE });
    let (other, light) = (TenantId(2), TenantId(3));
    for tenant in [TenantId::LOCAL, other] {
        for id in 0..25 {
            queue.push(tenant, release(id).0, None).unwrap();
        }
    }
    let first = intake.next_batch().await.unwrap();
    let second = intake.next_batch().await.unwrap();
    assert_eq!((first.tenant, second.tenant), (TenantId::LOCAL, other));
    queue.push(light, release(1).0, None).unwrap();
    drop(first);
    assert_eq!(intake.next_batch().await.unwrap().tenant, light, "those who flood stood before it");
}

#[tokio::test(start_paused = true)]
async fn whole_batches_let_a_light_one_go_first_but_not_for_long() {
    let (queue, intake) = bounded(WIDE);
    let light = TenantId(2);
    queue.push(light, release(1).0, None).unwrap();
    let first = intake.next_batch().await.unwrap();
    assert_eq!(first.tenant, light);
    for id in 10..30 {
        queue.push(TenantId::LOCAL, release(id).0, None).unwrap();
    }
    let began = Instant::now();
    let heavy = intake.next_batch().await.unwrap();
    assert_eq!((heavy.tenant, heavy.commands.len()), (TenantId::LOCAL, 10));
    assert!(began.elapsed() >= Duration::from_millis(10), "it let the light one go first");
    drop(first);
    let began = Instant::now();
    let heavy = intake.next_batch().await.unwrap();
    assert_eq!((heavy.tenant, began.elapsed()), (TenantId::LOCAL, Duration::ZERO), "nobody is there to go first");
}
