//! Passwords that everyone knows, held against encrypted ones (`crypt(5)`).

use super::md5_crypt;
use sha_crypt::{PasswordVerifier as _, ShaCrypt};
use std::collections::HashMap;
use std::fmt;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
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

/// What is known of encrypted passwords, for several systems that have the same ones: by account
/// and encrypted password.
#[derive(Default)]
pub struct TriedPasswords(Mutex<HashMap<(String, String), Option<String>>>);

/// Without the passwords.
impl fmt::Debug for TriedPasswords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TriedPasswords").finish_non_exhaustive()
    }
}

impl TriedPasswords {
    /// As [`known`], which is called once for each account and password.
    pub(super) fn known(&self, name: &str, encrypted: &str) -> Option<String> {
        // Locked until all words were tried: others that need the same wait for it.
        let mut tried = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = tried.entry((name.to_owned(), encrypted.to_owned()));
        entry.or_insert_with(|| known(name, encrypted)).clone()
    }
}

/// The password of the account `name` if it is one that everyone knows; `None` also for methods of
/// encryption that are not known here.
pub(super) fn known(name: &str, encrypted: &str) -> Option<String> {
    let mut candidates = vec![name];
    candidates.extend(COMMON.into_iter().filter(|word| *word != name));
    let found = first(&candidates, &|word| matches(word, encrypted));
    found.map(str::to_owned)
}

/// The first of `words` that `fits`. Several are tried at once, since each takes a twentieth of a
/// second or more.
fn first<'w>(words: &[&'w str], fits: &(dyn Fn(&str) -> bool + Sync)) -> Option<&'w str> {
    let (next, found) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            // Those before a word that fits are tried by other threads.
            let word = words.get(at).filter(|_| at < found.load(Ordering::Relaxed));
            match word {
                Some(word) if fits(word) => _ = found.fetch_min(at, Ordering::Relaxed),
                Some(_) => {}
                None => return,
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores.min(THREADS) {
            scope.spawn(work);
        }
    });
    words.get(found.into_inner()).copied()
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

    #[test]
    fn the_first_word_that_fits_is_found_whichever_is_done_first() {
        let words = ["a", "b", "c", "d", "e", "f"];
        let slow = |fitting: &'static [&str]| {
            move |word: &str| {
                // Early words take longest.
                let place = u64::from(b'g' - word.as_bytes()[0]);
                std::thread::sleep(std::time::Duration::from_millis(2 * place));
                fitting.contains(&word)
            }
        };
        assert_eq!(first(&words, &slow(&["b", "c", "f"])), Some("b"));
        assert_eq!(first(&words, &slow(&["f"])), Some("f"));
        assert_eq!(first(&words, &slow(&[])), None);
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
            assert_eq!(known(name, encrypted).as_deref(), expected, "{encrypted}");
        }
    }

    #[test]
    fn a_password_is_tried_once_for_each_account() {
        let encrypted =
            "$5$rounds=5000$Rq9zTkQn4ZbH0aLd$ljpnkmpTmcAN593WcioNtYjvhP7JswMnhgrRSQgesgB";
        let tried = TriedPasswords::default();
        assert_eq!(tried.known("pi", encrypted).as_deref(), Some("pi"));
        // It is not tried again.
        let key = ("pi".to_owned(), encrypted.to_owned());
        tried.0.lock().unwrap().insert(key, None);
        assert_eq!(tried.known("pi", encrypted), None);
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
            assert_eq!(known("root", encrypted), None, "{encrypted}");
        }
    }
}
