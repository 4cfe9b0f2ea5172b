//! Slurm itself on one node, started and stopped by the test, where it is installed (Debian: slurm-wlm and munge).

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{command, hashes, search_path, short, words};
use command::{demo_data, succeeds};

/// How long the daemons and the job may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// A program, also where only root looks for it.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// The daemons of a cluster of one node; they end with the test.
struct Slurm {
    daemons: Vec<Child>,
    folder: tempfile::TempDir,
}

impl Drop for Slurm {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

fn printed(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

impl Slurm {
    /// Starts the daemons; none where they are not installed, or this user may not.
    fn start() -> Option<Self> {
        let [munged, controller, node] = ["munged", "slurmctld", "slurmd"].map(find);
        let (munged, controller, node) = (munged?, controller?, node?);
        find("sbatch")?;
        let user = printed("id", &["-un"]).filter(|user| user == "root")?;
        let host = printed("hostname", &["-s"])?;
        let folder = tempfile::tempdir().expect("creates");
        let path = folder.path().to_owned();
        let at = |name: &str| path.join(name).display().to_string();
        for name in ["state", "spool"] {
            fs::create_dir(path.join(name)).expect("creates");
        }
        fs::write(path.join("munge.key"), [42_u8; 1024]).expect("writes");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let private = fs::Permissions::from_mode(0o600);
            fs::set_permissions(path.join("munge.key"), private).expect("sets");
        }
        let port = || {
            TcpListener::bind("127.0.0.1:0")
                .expect("binds")
                .local_addr()
                .expect("has one")
                .port()
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let lines = [
            "ClusterName=test".to_owned(),
            format!("SlurmctldHost={host}(127.0.0.1)"),
            format!("SlurmUser={user}"),
            format!("SlurmctldPort={}", port()),
            format!("SlurmdPort={}", port()),
            "AuthType=auth/munge".into(),
            format!("AuthInfo=socket={}", at("munge.socket")),
            "CredType=cred/munge".into(),
            "MpiDefault=none".into(),
            "ProctrackType=proctrack/pgid".into(),
            "TaskPlugin=task/none".into(),
            "ReturnToService=2".into(),
            "SelectType=select/cons_tres".into(),
            "SelectTypeParameters=CR_CPU".into(),
            format!("StateSaveLocation={}", at("state")),
            format!("SlurmdSpoolDir={}", at("spool")),
            format!("SlurmctldPidFile={}", at("controller.pid")),
            format!("SlurmdPidFile={}", at("node.pid")),
            format!("NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN"),
            format!("PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP"),
        ];
        fs::write(path.join("slurm.conf"), lines.join("\n") + "\n").expect("writes");
        let mut slurm = Self {
            daemons: Vec::new(),
            folder,
        };
        let (socket, key) = (at("munge.socket"), at("munge.key"));
        let (pid, log, seed) = (at("munge.pid"), at("munge.log"), at("munge.seed"));
        slurm.daemon(
            &munged,
            &[
                "--foreground",
                "--force",
                "--socket",
                &socket,
                "--key-file",
                &key,
                "--pid-file",
                &pid,
                "--log-file",
                &log,
                "--seed-file",
                &seed,
            ],
        );
        slurm.wait("munged", |slurm| {
            slurm.folder.path().join("munge.socket").exists()
        });
        slurm.daemon(&controller, &["-D", "-c"]);
        slurm.daemon(&node, &["-D", "-c"]);
        slurm.wait("a node", |slurm| {
            let states = slurm
                .command("sinfo")
                .args(["-h", "-o", "%t"])
                .output()
                .expect("sinfo runs");
            String::from_utf8_lossy(&states.stdout).contains("idle")
        });
        Some(slurm)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SLURM_CONF", self.folder.path().join("slurm.conf"));
        command
    }

    fn daemon(&mut self, program: &Path, arguments: &[&str]) {
        let name = program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let log = File::create(self.folder.path().join(format!("{name}.out"))).expect("creates");
        let mut command = self.command(&program.display().to_string());
        command.args(arguments).stdout(Stdio::null()).stderr(log);
        self.daemons.push(command.spawn().expect("starts"));
    }

    fn logs(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        ["munged.out", "slurmctld.out", "slurmd.out"].map(read).concat()
    }

    fn wait(&self, what: &str, is_there: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_there(self) {
            assert!(
                start.elapsed() < PATIENCE,
                "{what} did not come:\n{}",
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn a_job_array_of_slurm_does_a_plan() {
    let Some(slurm) = Slurm::start() else {
        println!("skipped: needs slurm-wlm, munge and root (cargo xtask setup --cluster)");
        return;
    };
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [4, 2, 1], 3);
    for store in ["alone", "array"] {
        let line = format!("plan --store {store} --engine slurm --shards 3 bench fabric --seeds 0,1,2,3");
        let (script, _) = succeeds(&words(&line, &short()), path);
        fs::write(path.join("job.sbatch"), script).expect("writes");
    }
    let submitted = slurm
        .command("sbatch")
        .arg("--parsable")
        .arg("job.sbatch")
        .current_dir(path)
        .env("PATH", search_path())
        .output()
        .expect("sbatch runs");
    let job = String::from_utf8_lossy(&submitted.stdout).trim().to_owned();
    assert!(
        submitted.status.success(),
        "{}",
        String::from_utf8_lossy(&submitted.stderr)
    );
    // a task that a machine loses is put back into the queue, and goes on with what is not done
    slurm.wait("a unit", |_| {
        fs::read_dir(path.join("array/scratch")).is_ok_and(|mut entries| entries.next().is_some())
    });
    let again = slurm
        .command("scontrol")
        .args(["requeue", &format!("{job}_0")])
        .status();
    assert!(again.expect("scontrol runs").success());
    slurm.wait("the end of the job", |slurm| {
        let left = slurm
            .command("squeue")
            .args(["-h", "-j", &job])
            .output()
            .expect("squeue runs");
        left.stdout.is_empty()
    });
    succeeds(&words("work --store alone --devices cpu", &[]), path);
    let logs = || -> String {
        let entries = fs::read_dir(path)
            .expect("lists")
            .map(|entry| entry.expect("lists").path());
        let logs = entries.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
        logs.map(|path| fs::read_to_string(path).unwrap_or_default())
            .collect()
    };
    assert_eq!(
        hashes(&path.join("array")),
        hashes(&path.join("alone")),
        "{}",
        logs()
    );
    let (table, _) = succeeds(&words("merge --store array -o merged", &[]), path);
    assert!(table.contains("fabric"), "{table}");
}
