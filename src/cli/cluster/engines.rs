//! What runs the workers: processes of this machine, job arrays of Slurm, indexed jobs of Kubernetes.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Result, bail};
use serde_json::{Value, json};

/// `--engine`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Engine {
    /// Processes of this machine, by a shell script.
    #[default]
    Local,
    /// A job array: a script for `sbatch`.
    Slurm,
    /// An indexed job: a manifest for `kubectl apply`.
    Kubernetes,
}

/// A volume of Kubernetes: a claim, and the folder where workers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    claim: String,
    folder: String,
}

impl FromStr for Mount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((claim, folder)) if is_label(claim) && folder.starts_with('/') => Ok(Self {
                claim: claim.into(),
                folder: folder.into(),
            }),
            _ => Err("give the name of a claim and an absolute folder, as in data=/data".into()),
        }
    }
}

/// Whether Kubernetes takes it for a name (RFC 1123).
fn is_label(name: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    (1..=63).contains(&name.len())
        && name.chars().all(|letter| is_plain(letter) || letter == '-')
        && name.starts_with(is_plain)
        && name.ends_with(is_plain)
}

/// What is to be run.
#[derive(Debug)]
pub(super) struct Job<'a> {
    /// Hash of the plan.
    pub(super) name: &'a str,
    pub(super) store: &'a str,
    /// How long workers try to reach the storage, where that is not the usual time.
    pub(super) patience: Option<u64>,
    pub(super) shards: usize,
    pub(super) threads: usize,
    pub(super) image: &'a str,
    pub(super) mounts: &'a [Mount],
}

impl Job<'_> {
    /// The script for an engine.
    ///
    /// # Errors
    /// If it has no form.
    pub(super) fn script(&self, engine: Engine) -> Result<String> {
        Ok(match engine {
            Engine::Local => self.local(),
            Engine::Slurm => self.slurm(),
            Engine::Kubernetes => {
                self.check_mounts()?;
                serde_json::to_string_pretty(&self.kubernetes())? + "\n"
            }
        })
    }

    /// The command of a worker.
    fn command(&self) -> Vec<String> {
        let mut words = ["destseg", "work", "--store", self.store]
            .map(str::to_owned)
            .to_vec();
        if let Some(patience) = self.patience {
            words.extend(["--patience".to_owned(), patience.to_string()]);
        }
        words
    }

    /// The same for a shell.
    fn line(&self) -> String {
        let words: Vec<String> = self.command().iter().map(|word| quoted(word)).collect();
        words.join(" ")
    }

    /// Refuses two volumes at one place, and says where pods do not see a folder.
    fn check_mounts(&self) -> Result<()> {
        for (place, mount) in self.mounts.iter().enumerate() {
            if self.mounts[..place]
                .iter()
                .any(|other| other.folder == mount.folder)
            {
                bail!(
                    "two volumes cannot both be {}: give --mount another folder",
                    mount.folder
                );
            }
        }
        let is_seen = |mount: &Mount| Path::new(self.store).starts_with(&mount.folder);
        if !self.store.contains("://") && !self.mounts.iter().any(is_seen) {
            eprintln!(
                "note: pods see the folder {} only in a volume: name its claim with --mount CLAIM=FOLDER",
                self.store
            );
        }
        Ok(())
    }

    fn local(&self) -> String {
        let (line, all) = (self.line(), self.shards);
        let mut script = "#!/bin/sh\n\
                          # run with `sh`: all workers at the same time, on this machine\n\
                          pids=\n\
                          trap 'kill $pids' INT TERM\n"
            .to_owned();
        for shard in 0..all {
            script += &format!("{line} --shard {shard}/{all} & pids=\"$pids $!\"\n");
        }
        script + "failed=0\nfor pid in $pids; do wait \"$pid\" || failed=1; done\nexit $failed\n"
    }

    /// See `man sbatch`; flags of `sbatch` come before the directives here.
    fn slurm(&self) -> String {
        format!(
            "#!/bin/bash\n\
             # submit with `sbatch`; the index of a task is its shard\n\
             #SBATCH --job-name=destseg\n\
             #SBATCH --array=0-{}\n\
             #SBATCH --ntasks=1\n\
             #SBATCH --cpus-per-task={}\n\
             #SBATCH --requeue\n\
             #SBATCH --open-mode=append\n\
             #SBATCH --output=destseg-%A-%a.log\n\
             exec {}\n",
            self.shards - 1,
            self.threads,
            self.line()
        )
    }

    /// See the reference of `Job` in `batch/v1`: `backoffLimitPerIndex` needs Kubernetes 1.29 and `restartPolicy: Never`.
    fn kubernetes(&self) -> Value {
        /// Tries of an index after the first.
        const RETRIES: usize = 3;
        /// Digits of the plan's hash in the job's name.
        const NAME_DIGITS: usize = 12;
        let name = |place: usize| format!("volume-{place}");
        let mounts = self.mounts.iter().enumerate();
        let mounts = mounts.map(|(place, own)| json!({"name": name(place), "mountPath": own.folder}));
        let volumes = self.mounts.iter().enumerate();
        let volumes = volumes.map(
            |(place, own)| json!({"name": name(place), "persistentVolumeClaim": {"claimName": own.claim}}),
        );
        let container = json!({
            "name": "destseg",
            "image": self.image,
            "command": self.command(),
            // keys of S3, where they are needed
            "envFrom": [{"secretRef": {"name": "destseg-storage", "optional": true}}],
            "resources": {"requests": {"cpu": self.threads.to_string()}},
            "volumeMounts": mounts.collect::<Value>(),
        });
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            // another plan is another job: what a job runs cannot be changed
            "metadata": {"name": format!("destseg-{}", &self.name[..NAME_DIGITS])},
            "spec": {
                "completionMode": "Indexed",
                "completions": self.shards,
                "parallelism": self.shards,
                "backoffLimitPerIndex": RETRIES,
                "template": {
                    "spec": {
                        "restartPolicy": "Never",
                        "containers": [container],
                        "volumes": volumes.collect::<Value>(),
                    },
                },
            },
        })
    }
}

/// A word for a shell, whatever is in it.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job<'a>(store: &'a str, mounts: &'a [Mount]) -> Job<'a> {
        Job {
            name: "0123456789abcdef",
            store,
            patience: None,
            shards: 12,
            threads: 2,
            image: "registry/destseg:1",
            mounts,
        }
    }

    #[test]
    fn a_job_array_has_a_task_for_each_shard() {
        let script = job("/it's here", &[]).script(Engine::Slurm).expect("has a form");
        assert!(script.starts_with("#!/bin/bash\n"), "{script}");
        assert!(
            script.contains("\n#SBATCH --array=0-11\n") && script.contains("\n#SBATCH --cpus-per-task=2\n")
        );
        assert!(script.ends_with(
            r"destseg work --store '/it'\''s here'
"
        ));
    }

    #[test]
    fn local_workers_are_as_many_as_shards() {
        let script = job("/runs", &[]).script(Engine::Local).expect("has a form");
        assert_eq!(script.matches("destseg work").count(), 12);
        assert!(script.contains("--shard 11/12"), "{script}");
    }

    #[test]
    fn workers_are_as_patient_as_the_plan() {
        let patient = Job {
            patience: Some(7),
            ..job("/runs", &[])
        };
        for engine in [Engine::Local, Engine::Slurm] {
            let script = patient.script(engine).expect("has a form");
            assert!(
                script.contains("destseg work --store /runs --patience 7"),
                "{script}"
            );
        }
    }

    #[test]
    fn two_volumes_at_one_place_are_refused() {
        let mounts = ["data=/data", "runs=/data"].map(|text| text.parse::<Mount>().expect("is one"));
        let err = job("/data/runs", &mounts)
            .script(Engine::Kubernetes)
            .expect_err("is refused");
        assert!(err.to_string().contains("/data"), "{err}");
    }

    #[test]
    fn mounts_are_claims_and_folders() {
        let own: Mount = "data=/data".parse().expect("is one");
        assert_eq!((&*own.claim, &*own.folder), ("data", "/data"));
        for text in ["data", "=/data", "data=there", "Data=/data", "-a=/b"] {
            assert!(text.parse::<Mount>().is_err(), "{text}");
        }
    }

    /// What the reference of `Job` in `batch/v1` asks of a manifest: required fields, types, allowed values, and what
    /// excludes what.
    fn check(job: &Value) {
        let only = |object: &Value, allowed: &[&str]| {
            for key in object.as_object().expect("is an object").keys() {
                assert!(allowed.contains(&&**key), "{key} is no field");
            }
        };
        only(job, &["apiVersion", "kind", "metadata", "spec", "status"]);
        assert_eq!(
            (&job["apiVersion"], &job["kind"]),
            (&json!("batch/v1"), &json!("Job"))
        );
        assert!(is_label(job["metadata"]["name"].as_str().expect("has a name")));
        let spec = &job["spec"];
        let fields = [
            "activeDeadlineSeconds",
            "backoffLimit",
            "backoffLimitPerIndex",
            "completionMode",
            "completions",
            "managedBy",
            "manualSelector",
            "maxFailedIndexes",
            "parallelism",
            "podFailurePolicy",
            "podReplacementPolicy",
            "selector",
            "successPolicy",
            "suspend",
            "template",
            "ttlSecondsAfterFinished",
        ];
        only(spec, &fields);
        for number in ["completions", "parallelism", "backoffLimitPerIndex"] {
            assert!(
                spec[number].as_i64().is_some_and(|own| own > 0 && own <= 100_000),
                "{number}"
            );
        }
        assert_eq!(spec["completionMode"], "Indexed", "backoffLimitPerIndex needs it");
        let pod = &spec["template"]["spec"];
        only(pod, &["restartPolicy", "containers", "volumes"]);
        assert_eq!(pod["restartPolicy"], "Never", "backoffLimitPerIndex needs it");
        let volumes = pod["volumes"].as_array().expect("is a list");
        let known: Vec<&Value> = volumes.iter().map(|own| &own["name"]).collect();
        assert!(
            volumes
                .iter()
                .all(|own| own["persistentVolumeClaim"]["claimName"].is_string())
        );
        let [container] = &pod["containers"].as_array().expect("is a list")[..] else {
            panic!("one container")
        };
        only(
            container,
            &["name", "image", "command", "envFrom", "resources", "volumeMounts"],
        );
        assert!(is_label(container["name"].as_str().expect("has a name")) && container["image"].is_string());
        let words = container["command"].as_array().expect("is a list");
        assert!(words.iter().all(Value::is_string));
        assert!(
            container["resources"]["requests"]["cpu"].is_string(),
            "a quantity is a text"
        );
        for mount in container["volumeMounts"].as_array().expect("is a list") {
            assert!(
                known.contains(&&mount["name"]) && mount["mountPath"].is_string(),
                "{mount}"
            );
        }
    }

    #[test]
    fn manifests_are_jobs_of_kubernetes() {
        let mounts = ["data=/data", "runs=/runs"].map(|text| text.parse::<Mount>().expect("is one"));
        for mounts in [&mounts[..], &[]] {
            let script = job("/runs/plan", mounts)
                .script(Engine::Kubernetes)
                .expect("has a form");
            check(&serde_json::from_str(&script).expect("is JSON"));
        }
    }
}
