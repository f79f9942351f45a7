//! Passwords that everyone knows, held against encrypted ones (`crypt(5)`).

use super::md5_crypt;
use sha_crypt::{PasswordVerifier as _, ShaCrypt};
use std::collections::HashMap;
use std::fmt;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use yescrypt::Yescrypt;

/// Passwords of distributions' images and of many who set up a machine.
const COMMON: [&str; 17] = [
    "raspberry",
    "1234",
    "root",
    "toor",
    "admin",
    "password",
    "debian",
    "temppwd",
    "ubuntu",
    "armbian",
    "orangepi",
    "dietpi",
    "pi",
    "changeme",
    "12345678",
    "live",
    "fai",
];

/// The most threads that try passwords at once: each needs 16 MiB for Debian's yescrypt.
const THREADS: usize = 4;

/// What is known of encrypted passwords, for several systems that have the same ones, or while one
/// of them is edited: by account and encrypted password.
#[derive(Default)]
pub struct TriedPasswords(Mutex<HashMap<(String, String), Arc<Trial>>>);

/// Without the passwords.
impl fmt::Debug for TriedPasswords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TriedPasswords").finish_non_exhaustive()
    }
}

impl TriedPasswords {
    /// The password of the account `name` if it is one that everyone knows; `None` also for methods
    /// of encryption that are not known here. Each word is tried once for each account and
    /// password.
    pub(super) fn known(&self, name: &str, encrypted: &str) -> Option<String> {
        let trial = self.trial(name, encrypted);
        trial
            .outcome(&|word| matches(word, encrypted))
            .map(str::to_owned)
    }

    /// Tries words for the password with this thread until all were tried, or `stop` is set.
    /// Whoever needs to know tries the rest.
    pub(super) fn begin(&self, name: &str, encrypted: &str, stop: &AtomicBool) {
        let trial = self.trial(name, encrypted);
        trial.work(&|word| matches(word, encrypted), stop);
    }

    fn trial(&self, name: &str, encrypted: &str) -> Arc<Trial> {
        let mut trials = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = trials.entry((name.to_owned(), encrypted.to_owned()));
        Arc::clone(entry.or_insert_with(|| Arc::new(Trial::new(candidates(name)))))
    }
}

/// The words that are tried for an account.
fn candidates(name: &str) -> Vec<String> {
    let common = COMMON.into_iter().filter(|word| *word != name);
    [name]
        .into_iter()
        .chain(common)
        .map(str::to_owned)
        .collect()
}

/// Words that are tried by as many threads as come, since each takes a twentieth of a second or
/// more.
struct Trial {
    words: Vec<String>,
    /// The next word to try.
    next: AtomicUsize,
    /// The first word that was found to fit.
    found: AtomicUsize,
    /// Locked for reading while a word is tried.
    busy: RwLock<()>,
}

impl Trial {
    fn new(words: Vec<String>) -> Self {
        Self {
            words,
            next: AtomicUsize::new(0),
            found: AtomicUsize::new(usize::MAX),
            busy: RwLock::default(),
        }
    }

    /// Tries words until all were, or `stop` is set.
    fn work(&self, fits: &(dyn Fn(&str) -> bool + Sync), stop: &AtomicBool) {
        let _busy = self.busy.read().unwrap_or_else(PoisonError::into_inner);
        while !stop.load(Ordering::Relaxed) {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            // Those before a word that fits are tried by other threads.
            let word = self.words.get(at);
            match word.filter(|_| at < self.found.load(Ordering::Relaxed)) {
                Some(word) if fits(word) => _ = self.found.fetch_min(at, Ordering::Relaxed),
                Some(_) => {}
                None => return,
            }
        }
    }

    /// The first word that `fits`, once all were tried: those that are left by several threads.
    fn outcome(&self, fits: &(dyn Fn(&str) -> bool + Sync)) -> Option<&str> {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let never = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..cores.min(THREADS) {
                scope.spawn(|| self.work(fits, &never));
            }
        });
        // Others may be at their last word.
        drop(self.busy.write());
        let found = self.found.load(Ordering::Relaxed);
        self.words.get(found).map(String::as_str)
    }
}

/// The most rounds of SHA-crypt that are tried: more would take too long.
const MAX_ROUNDS: u32 = 20_000;
/// The digits of the parameters of yescrypt, from 0.
const DIGITS: &str = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The first cost of yescrypt that is not tried, as a power of two: Debian's own is below it, and
/// each more doubles time and memory.
const MAX_COST: usize = 12;

/// Whether `encrypted` is this word by MD5-crypt, SHA-crypt or yescrypt.
fn matches(word: &str, encrypted: &str) -> bool {
    let mut fields = encrypted.split('$').skip(1);
    let (method, parameters) = (fields.next(), fields.next().unwrap_or_default());
    match method {
        Some("1") => md5_crypt::matches(word, encrypted),
        Some("5" | "6") => {
            let rounds = parameters.strip_prefix("rounds=").map(str::parse::<u32>);
            let cheap = rounds.is_none_or(|rounds| rounds.is_ok_and(|count| count <= MAX_ROUNDS));
            cheap
                && ShaCrypt::default()
                    .verify_password(word.as_bytes(), encrypted)
                    .is_ok()
        }
        Some("y") => {
            // Flavor, cost and block size, a digit each, as libxcrypt writes them.
            let mut digits = parameters.bytes();
            let cost = digits
                .nth(1)
                .and_then(|digit| DIGITS.find(char::from(digit)));
            let cheap = parameters.len() == 3 && cost.is_some_and(|cost| cost < MAX_COST);
            cheap
                && Yescrypt::default()
                    .verify_password(word.as_bytes(), encrypted)
                    .is_ok()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trial of these words.
    fn trial(words: [&str; 6]) -> Trial {
        Trial::new(words.map(str::to_owned).to_vec())
    }

    #[test]
    fn the_first_word_that_fits_is_found_whichever_is_done_first() {
        let slow = |fitting: &'static [&str]| {
            move |word: &str| {
                // Early words take longest.
                let place = u64::from(b'g' - word.as_bytes()[0]);
                std::thread::sleep(std::time::Duration::from_millis(2 * place));
                fitting.contains(&word)
            }
        };
        let first = |fitting| {
            let trial = trial(["a", "b", "c", "d", "e", "f"]);
            trial.outcome(&slow(fitting)).map(str::to_owned)
        };
        assert_eq!(first(&["b", "c", "f"]).as_deref(), Some("b"));
        assert_eq!(first(&["f"]).as_deref(), Some("f"));
        assert_eq!(first(&[]), None);
    }

    #[test]
    fn a_trial_that_was_begun_is_finished_and_no_word_is_tried_twice() {
        let trial = trial(["a", "b", "c", "d", "e", "f"]);
        let (tried, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        let fits = |word: &str| {
            let mut tried = tried.lock().unwrap();
            tried.push(word.to_owned());
            stop.store(tried.len() == 2, Ordering::Relaxed);
            word == "b" || word == "d"
        };
        trial.work(&fits, &stop);
        assert_eq!(*tried.lock().unwrap(), ["a", "b"]);
        assert_eq!(trial.outcome(&fits), Some("b"));
        assert_eq!(*tried.lock().unwrap(), ["a", "b"]);
    }

    #[test]
    fn the_outcome_waits_for_words_that_others_try() {
        let trial = trial(["a", "b", "c", "d", "e", "f"]);
        let stop = AtomicBool::new(false);
        let (begun, go) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let fits = |word: &str| {
                    stop.store(true, Ordering::Relaxed);
                    begun.wait();
                    go.wait();
                    word == "a"
                };
                trial.work(&fits, &stop);
            });
            begun.wait();
            // All others are tried meanwhile.
            let found = trial.outcome(&|word| {
                if word == "f" {
                    go.wait();
                }
                false
            });
            assert_eq!(found, Some("a"));
        });
    }

    #[test]
    fn passwords_of_four_methods_are_known() {
        let cases = [
            (
                "pi",
                "$6$Rq9zTkQn4ZbH0aLd$upAy3dx/bnRzEGjFY7qBjMNrjjmR9rJLzrrws9xUOKxU/Ig3CNW36SLdHUfX2HEdoLWwEqq1FmuGXlRirQ51T1",
                Some("raspberry"),
            ),
            (
                "pi",
                "$5$rounds=5000$Rq9zTkQn4ZbH0aLd$ljpnkmpTmcAN593WcioNtYjvhP7JswMnhgrRSQgesgB",
                Some("pi"),
            ),
            (
                "root",
                "$y$j9T$f1ReHx3GzHlQx0pkXXp9u.$4Kpyld50zji6xWdx68uXaz8X4CZWjD6R3c9wiRXn5F5",
                Some("root"),
            ),
            (
                "root",
                "$y$j9T$f1ReHx3GzHlQx0pkXXp9u.$qaHwZI22DvM7Dijh6qZmJXLrE76HBfhA4Em/koufb17",
                None,
            ),
            ("demo", "$1$kBnWcO.E$djxB128U7dMkrltJHPf6d1", Some("fai")),
        ];
        for (name, encrypted, expected) in cases {
            let known = TriedPasswords::default().known(name, encrypted);
            assert_eq!(known.as_deref(), expected, "{encrypted}");
        }
    }

    #[test]
    fn a_password_is_tried_once_for_each_account() {
        let encrypted =
            "$5$rounds=5000$Rq9zTkQn4ZbH0aLd$ljpnkmpTmcAN593WcioNtYjvhP7JswMnhgrRSQgesgB";
        let tried = TriedPasswords::default();
        assert_eq!(tried.known("pi", encrypted).as_deref(), Some("pi"));
        // It is not tried again.
        let trial = tried.trial("pi", encrypted);
        let outcome = trial.outcome(&|_| panic!("a word is tried again"));
        assert_eq!(outcome, Some("pi"));
        assert_eq!(tried.known("root", encrypted).as_deref(), Some("pi"));
    }

    #[test]
    fn costly_and_unknown_methods_are_not_tried() {
        for encrypted in [
            "$6$rounds=999999999$abcdefgh$x",
            "$y$jzT$abcdefgh$x",
            "$y$j9T11$abcdefgh$x",
            "$1$abcdefgh$x",
            "x",
            "",
        ] {
            let known = TriedPasswords::default().known("root", encrypted);
            assert_eq!(known, None, "{encrypted}");
        }
    }
}
