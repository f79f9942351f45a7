use super::*;
use crate::stream::Compression;

const CODEC: Compression = Compression::Zstd;

/// Bytes that take about as much packed as plain.
fn chunk(seed: u32) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(10_000).collect()
}

/// The frame of `plain`, which comes in the place of another.
fn frame(cache: &Cache, codec: Codec, plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut frame = b"another".to_vec();
    cache.frame(codec, plain, &mut frame)?;
    Ok(frame)
}

fn frames(dir: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    names
        .filter(|entry| unhex(entry.file_name().to_str().unwrap()).is_some())
        .map(|entry| entry.path())
        .collect()
}

fn size(dir: &Path) -> u64 {
    frames(dir)
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum()
}

fn counts(cache: &Cache) -> (u64, u64, u64) {
    let usage = cache.usage();
    let frames = usage.reused_frames + usage.compressed_frames;
    let bytes = usage.reused_bytes + usage.compressed_bytes;
    assert_eq!(bytes, frames * chunk(0).len() as u64);
    (
        usage.reused_frames,
        usage.compressed_frames,
        usage.damaged_frames,
    )
}

#[test]
fn frames_come_back_and_only_for_the_same_bytes_codec_and_level() {
    let dir = tempfile::tempdir().unwrap();
    let codec = Codec::from(CODEC);
    let cache = Cache::open(dir.path(), 1 << 20).unwrap();
    let first = frame(&cache, codec, &chunk(1)).unwrap();
    assert_eq!(first, codec.compress(&chunk(1)).unwrap());
    assert_eq!(frame(&cache, codec, &chunk(1)).unwrap(), first);
    assert_eq!(counts(&cache), (1, 1, 0));
    frame(&cache, codec, &chunk(2)).unwrap();
    frame(&cache, Codec::new(CODEC, Some(1)).unwrap(), &chunk(1)).unwrap();
    frame(&cache, Codec::from(Compression::Gzip), &chunk(1)).unwrap();
    assert_eq!(counts(&cache), (1, 4, 0));
    let again = Cache::open(dir.path(), 1 << 20).unwrap();
    assert_eq!(frame(&again, codec, &chunk(1)).unwrap(), first);
    assert_eq!(
        (counts(&again), again.state().total),
        ((1, 0, 0), size(dir.path()))
    );
}

#[test]
fn damage_is_noticed_and_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let codec = Codec::from(CODEC);
    let cache = Cache::open(dir.path(), 1 << 20).unwrap();
    let right = frame(&cache, codec, &chunk(1)).unwrap();
    drop(cache);
    let path = frames(dir.path()).remove(0);
    let whole = std::fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[5000] ^= 1;
    for bad in [&flipped[..], &whole[..4000], &whole[..10], &[]] {
        std::fs::write(&path, bad).unwrap();
        let cache = Cache::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(frame(&cache, codec, &chunk(1)).unwrap(), right);
        assert_eq!(counts(&cache), (0, 1, 1));
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        assert_eq!(cache.state().total, whole.len() as u64);
    }
    // A whole frame under the name of another one is just as useless.
    let cache = Cache::open(dir.path(), 1 << 20).unwrap();
    frame(&cache, codec, &chunk(2)).unwrap();
    let other = frames(dir.path())
        .into_iter()
        .find(|name| *name != path)
        .unwrap();
    std::fs::copy(&other, &path).unwrap();
    assert_eq!(frame(&cache, codec, &chunk(1)).unwrap(), right);
    assert_eq!(counts(&cache), (0, 2, 1));
}

#[test]
fn what_was_used_last_stays_and_foreign_files_do_too() {
    let dir = tempfile::tempdir().unwrap();
    let codec = Codec::from(CODEC);
    std::fs::write(dir.path().join("notes"), vec![0; 100_000]).unwrap();
    std::fs::write(dir.path().join(".goldsmith-left"), "by a killed run").unwrap();
    let cache = Cache::open(dir.path(), 35_000).unwrap();
    for seed in 0..3 {
        frame(&cache, codec, &chunk(seed)).unwrap();
    }
    // All were used by this conversion: there is no room for a fourth, which is made nevertheless.
    assert_eq!(
        frame(&cache, codec, &chunk(3)).unwrap(),
        codec.compress(&chunk(3)).unwrap()
    );
    assert_eq!(frames(dir.path()).len(), 3);
    drop(cache);
    let old = |seconds| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    for path in frames(dir.path()) {
        File::open(path).unwrap().set_modified(old(1000)).unwrap();
    }
    let cache = Cache::open(dir.path(), 35_000).unwrap();
    frame(&cache, codec, &chunk(1)).unwrap();
    for seed in 4..6 {
        frame(&cache, codec, &chunk(seed)).unwrap();
        assert!(size(dir.path()) <= 35_000);
    }
    let cache = Cache::open(dir.path(), 35_000).unwrap();
    for seed in [1, 4, 5] {
        frame(&cache, codec, &chunk(seed)).unwrap();
    }
    assert_eq!(counts(&cache), (3, 0, 0));
    drop(cache);
    // A smaller bound evicts at once; the rest keeps to it.
    drop(Cache::open(dir.path(), 15_000).unwrap());
    assert_eq!(frames(dir.path()).len(), 1);
    let mut names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| unhex(name).is_none());
    names.sort();
    assert_eq!(names, [".lock", "notes"]);
}

#[test]
fn many_use_one_cache_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, codec) = (dir.path(), Codec::from(CODEC));
    std::thread::scope(|scope| {
        for most in [1 << 20, 60_000, 25_000, 1 << 20] {
            scope.spawn(move || {
                let cache = Cache::open(dir, most).unwrap();
                for seed in (0..12).chain(0..12) {
                    assert_eq!(
                        frame(&cache, codec, &chunk(seed)).unwrap(),
                        codec.compress(&chunk(seed)).unwrap()
                    );
                }
                assert_eq!(counts(&cache).2, 0);
            });
        }
    });
}

/// The mode of a file or directory.
fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o777
}

#[test]
fn the_cache_of_a_user_is_made_for_that_user_alone() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("new/goldsmith/frames");
    let cache = Cache::open_own(&dir, 1 << 20).unwrap();
    assert_eq!((mode(&dir), mode(&home.path().join("new"))), (0o700, 0o700));
    frame(&cache, Codec::from(CODEC), &chunk(1)).unwrap();
    assert_eq!(counts(&cache), (0, 1, 0));
    assert_eq!(cache.max_size, 1 << 20);
    // No more than a part of what is free.
    let cache = Cache::open_own(&dir, u64::MAX).unwrap();
    let stat = rustix::fs::statvfs(&dir).unwrap();
    assert!(cache.max_size < stat.f_blocks.saturating_mul(stat.f_frsize) / 2);
    assert!(cache.max_size > 0);
}

#[test]
fn what_others_can_write_to_is_no_cache_of_a_user() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    for (mode, fits) in [(0o755, true), (0o775, false), (0o702, false)] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(home.path(), permissions).unwrap();
        let opened = Cache::open_own(home.path(), 1 << 20);
        assert_eq!(opened.is_ok(), fits, "{mode:o}");
        if let Err(problem) = opened {
            let text = problem.to_string();
            assert!(text.contains("others can write to it"), "{text}");
        }
    }
}

#[test]
fn root_leaves_nothing_in_directories_of_others() {
    let home = tempfile::tempdir().unwrap();
    if std::os::unix::fs::chown(home.path(), Some(1234), None).is_err() {
        eprintln!("SKIPPED: only root can give a directory away");
        return;
    }
    let dir = home.path().join(".cache/goldsmith/frames");
    let problem = Cache::open_own(&dir, 1 << 20).unwrap_err().to_string();
    assert!(
        problem.contains("root would leave files in a directory of user 1234"),
        "{problem}"
    );
    assert!(!home.path().join(".cache").exists());
}

#[test]
fn threads_that_need_the_same_frame_compress_it_once() {
    let dir = tempfile::tempdir().unwrap();
    // With room for the frames, and without.
    for size in [1 << 20, 0] {
        let cache = Cache::open(&dir.path().join(size.to_string()), size).unwrap();
        let codec = Codec::new(Compression::Xz, None).unwrap();
        let plain = chunk(1);
        let barrier = std::sync::Barrier::new(8);
        let all: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let work = || {
                barrier.wait();
                let mut frame = Vec::new();
                cache.frame(codec, &plain, &mut frame).unwrap();
                frame
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
            let frames = threads.into_iter().map(|thread| thread.join().unwrap());
            frames.collect()
        });
        assert!(all.iter().all(|frame| *frame == all[0]));
        assert_eq!(codec.compress(&plain).unwrap(), all[0]);
        if size > 0 {
            assert_eq!(counts(&cache), (7, 1, 0));
        }
        assert!(cache.flights().is_empty());
    }
}
