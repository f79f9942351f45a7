//! The lines in which two texts differ, in the unified form of `diff -u` (POSIX `diff`).

use similar::TextDiff;

/// Lines of context around a change.
const CONTEXT: usize = 3;

/// The differences as hunks, without the lines that name the files; empty if there are none.
#[must_use]
pub fn unified(old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    diff.unified_diff().context_radius(CONTEXT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hunks_are_those_of_diff() {
        assert_eq!(unified("a\nb\n", "a\nb\n"), "");
        assert_eq!(unified("", "a\n"), "@@ -0,0 +1 @@\n+a\n");
        assert_eq!(
            unified("a\nb", "a\nc\n"),
            "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n"
        );
        let old: String = (1..=20).map(|number| format!("{number}\n")).collect();
        let new = old.replace("5\n6\n", "5\nx\n").replace("20\n", "");
        let expected = "@@ -3,7 +3,7 @@\n 3\n 4\n 5\n-6\n+x\n 7\n 8\n 9\n\
                        @@ -17,4 +17,3 @@\n 17\n 18\n 19\n-20\n";
        assert_eq!(unified(&old, &new), expected);
        // Changes whose context meets are one hunk.
        let near = old.replace("5\n6\n", "5\n").replace("11\n", "y\n");
        assert_eq!(unified(&old, &near).matches("@@ -").count(), 1);
    }
}
