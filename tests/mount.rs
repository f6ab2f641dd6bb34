//! Real mounts: parts of a layout on other file systems, media that cannot be written to, and disks that are full.

use std::path::Path;

use tempfile::TempDir;

use crate::run::{Peer, Ran, shell};
use crate::stage::{self, clone, room};

/// A stage, and a namespace for mounts.
struct Apart {
    base: TempDir,
}

impl Apart {
    /// `line`: what the stage is for.
    fn of(line: &str) -> Option<Self> {
        Peer::find_for_mounts()?;
        let base = room();
        clone(stage::start(line).path(), base.path());
        Some(Self { base })
    }

    fn base(&self) -> &Path {
        self.base.path()
    }

    /// Runs a script there, whose mounts are gone afterwards. It ends with its first command that fails.
    fn run(&self, script: &str) -> Ran {
        assert!(!script.contains('\''), "it is quoted");
        shell(self.base(), &format!("HOME=/nonexistent unshare -m sh -euc '{script}'"))
    }

    /// Runs a script that ends well.
    #[track_caller]
    fn done(&self, script: &str) -> Ran {
        self.run(script).ended(0)
    }
}

/// A shell function: `elsewhere DIR` puts what is in a directory on a file system of its own.
const ELSEWHERE: &str = r#"
elsewhere() {
  mkdir -p "$1" aside; mount -t tmpfs none aside
  cp -a "$1/." aside/
  mount --move aside "$1"
}
clean() {
  litter=$(find "$1" -name ".ocistow-*" -o -path "*/.ocistow/staging/*" -o -path "*/.ocistow/trash/*" -type f)
  test -z "$litter" || { echo "litter: $litter"; exit 9; }
}
"#;

#[test]
fn a_layout_whose_parts_lie_on_other_disks_is_written_to_and_swept_as_any_other() {
    for apart in [&["blobs"][..], &["blobs/sha256"], &["blobs", "blobs/sha256"]] {
        let Some(stage) = Apart::of("") else { return };
        let mounts: String = apart.iter().map(|dir| format!("elsewhere target/{dir}\n")).collect();
        stage.done(&format!(
            r#"{ELSEWHERE}{mounts}
            ocistow import bundle.tar target --tag 1=app -q
            ocistow push target:note bundle.json --title note -q
            ocistow attach target:note bundle.json --title note --artifact-type application/x.note -q
            ocistow tag target:note again
            ocistow blob push target bundle.tar.gz -q
            ocistow index add target:pair late -q
            ocistow fsck target -q
            clean target
            # A writer that is killed leaves litter on that disk; the next one clears it.
            strace=$(command -v strace || true)
            if [ -n "$strace" ]; then
              strace -o /dev/null -e inject=fsync:signal=KILL ocistow push target:new source --title new -q || true
              ocistow init target; clean target
            fi
            ocistow rm target:1 -q
            ocistow gc target --grace 0 --prune -q
            test -z "$(find target/.ocistow/trash target/blobs/.ocistow-trash target/blobs/*/.ocistow-trash -type f 2>/dev/null)"
            test ! -e target/blobs/sha256/$(sha256sum <bundle.tar.gz | cut -d" " -f1)
            ocistow fsck target -q
            ocistow resolve target:app -q; ocistow resolve target:again -q"#
        ));
    }
}

/// What takes effect at once, or not at all, cannot be on two file systems.
#[test]
fn what_cannot_be_exchanged_across_disks_is_refused_in_words_and_leaves_everything_as_it_was() {
    for (apart, line, why) in [
        ("target/.ocistow", "tag target:1 2", "its .ocistow is on another file system"),
        ("target/.ocistow", "import bundle.tar target --tag 1=app", "its .ocistow is on another file system"),
        ("out-old/kit/in", "pull target:kit -o out-old", "another file system is mounted there"),
    ] {
        let Some(stage) = Apart::of("pull") else { return };
        let ran = stage.done(&format!(
            r#"{ELSEWHERE}
            elsewhere {apart}
            before=$(ocistow ls --all --format json target; find out-old -type f -exec sha256sum {{}} +)
            code=0; ocistow {line} || code=$?
            test $code = 1
            test "$before" = "$(ocistow ls --all --format json target; find out-old -type f -exec sha256sum {{}} +)"
            ocistow fsck target -q; clean ."#
        ));
        assert!(ran.err.contains("error: could not write ") && ran.err.contains(why), "{ran}");
        assert!(ran.err.contains("hint: "), "{ran}");
    }
}

#[test]
fn what_is_mounted_itself_is_not_replaced_and_that_is_said() {
    let Some(stage) = Apart::of("") else { return };
    for (mounted, line) in [
        ("old.tar", "export source:2 -o old.tar --force"),
        ("target/index.json", "tag target:1 2"),
        ("target/index.json", "import bundle.tar target --tag 1=app"),
    ] {
        let ran = stage.done(&format!(
            r#"{ELSEWHERE}
            touch other; cp {mounted} other; cp {mounted} before; mount --bind other {mounted}
            code=0; ocistow {line} || code=$?
            test $code = 1; cmp before {mounted}; ocistow fsck target -q; clean ."#
        ));
        assert!(ran.err.contains("error: could not ") && ran.err.contains("busy"), "{ran}");
    }
}

#[test]
fn read_only_media_are_looked_at_and_not_written_to() {
    for ours in [false, true] {
        let Some(stage) = Apart::of("pull") else { return };
        let init = if ours { "ocistow init target" } else { "" };
        let ran = stage.done(&format!(
            r#"{init}
            digest=$(ocistow resolve target:1)
            mount --bind target target; mount -o remount,ro,bind target
            for line in "ls target" "show target:1" "discover target:1" "graph target" "du target" "fsck target" \
              "diff target source" "plan target" "export target -o new.tar" "export target:1 -o new" \
              "copy target:1 new:2" "import target other" "pull target:kit -o out-new" "cat target@$digest" \
              "gc target --dry-run" "init target"; do
              ocistow $line >/dev/null || {{ echo "$line: $?"; exit 9; }}
            done
            for line in "tag target:1 2" "untag target:1" "rm target:1" "gc target" "push target:2 bundle.json" \
              "attach target:1 bundle.json --artifact-type a/b" "blob push target bundle.json" \
              "manifest push target:2 bundle.json" "index add target:pair late" "import bundle.tar target" \
              "copy source:1 target:app" "export source:2 -o target" "convert target:1 --to docker" \
              "fsck target --repair-from source" "init target/below" "export source -o target/new.tar"; do
              code=0; said=$(ocistow $line 2>&1 >/dev/null) || code=$?
              case "$code $said" in
                "1 error: could not "*"Read-only file system"*) ;;
                *) echo "$line: $code $said"; exit 9;;
              esac
            done"#
        ));
        assert_eq!(ran.err.matches("warning: ").count(), 0, "{ran}");
    }
}

#[test]
fn a_full_disk_is_said_and_nothing_is_lost_and_with_more_room_it_works() {
    let Some(stage) = Apart::of("pull") else { return };
    stage.done(&format!(
        r#"{ELSEWHERE}
        head -c 300000 /dev/urandom >big; head -c 100000 /dev/urandom >big2
        cp -a source large; ocistow push large:big big big2 -q; ocistow export large -o large.tar -q
        mkdir disk; mount -t tmpfs -o size=300k none disk
        cp -a target disk/target; mkdir disk/out
        before=$(ocistow ls --all --format json disk/target)
        for line in "import large.tar disk/target --tag 1=app" "copy large:big disk/target:2" "push disk/target:2 big" \
          "blob push disk/target big" "export large -o disk/new" "export large -o disk/new.tar" \
          "pull large:big -o disk/out" "pull large:big -o disk/out-new"; do
          code=0; said=$(ocistow $line 2>&1 >/dev/null) || code=$?
          case "$code $said" in
            "1 error: could not "*"No space left on device"*) ;;
            *) echo "$line: $code $said"; exit 9;;
          esac
          test "$before" = "$(ocistow ls --all --format json disk/target)"
          ocistow fsck disk/target -q
          test "$(ls -A disk)" = "$(printf "out\ntarget")" -a -z "$(ls -A disk/out)"
        done
        mount -o remount,size=8m disk
        ocistow import large.tar disk/target --tag 1=app -q
        ocistow pull large:big -o disk/out -q; cmp big disk/out/big
        ocistow fsck disk/target -q; clean disk"#
    ));
}
