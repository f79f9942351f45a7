//! Work on many items by several threads.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

/// The most threads: what they need for an item is in memory that often.
const THREADS: usize = 4;

/// The result of a thread, once it has ended.
///
/// # Panics
/// If the thread did.
pub fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// `work` of each item, in the order of the items, which no number of threads changes. As many are
/// done at once as there are cores, at most four; the calling thread is one of them.
///
/// # Panics
/// If `work` does.
pub fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    map_by(cores.min(THREADS), items, &work)
}

fn map_by<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: &(impl Fn(&T) -> R + Sync),
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let some = || {
        let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let items = numbers.map_while(|at| Some((at, items.get(at)?)));
        items.map(|(at, item)| (at, work(item))).collect::<Vec<_>>()
    };
    let mut all = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(items.len()))
            .map(|_| scope.spawn(some))
            .collect();
        let mut all = some();
        for other in others {
            all.extend(joined(other));
        }
        all
    });
    all.sort_unstable_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn results_have_the_order_of_the_items() {
        let items: Vec<usize> = (0..1000).collect();
        for threads in [0, 1, 2, 7] {
            let doubled = map_by(threads, &items, &|item| {
                if item % 100 == 0 {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                item * 2
            });
            assert!(doubled.iter().zip(&items).all(|(a, b)| *a == b * 2));
            assert_eq!(doubled.len(), 1000, "{threads}");
        }
        assert!(map(&[0_u8; 0], |item| *item).is_empty());
    }

    #[test]
    fn items_are_worked_on_at_the_same_time() {
        // Each waits for the other.
        let both = Barrier::new(2);
        let met = map_by(2, &[1, 2], &|item| {
            both.wait();
            *item
        });
        assert_eq!(met, [1, 2]);
    }
}
