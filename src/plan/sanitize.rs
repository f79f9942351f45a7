//! Which traces of the golden machine are taken away: `[sanitize]`.

use crate::config::Config;
use crate::golden::traces::TraceKind;
use std::collections::BTreeSet;

/// The kinds of traces that are taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SanitizePlan(BTreeSet<TraceKind>);

impl SanitizePlan {
    /// The kinds that `config` names.
    pub(super) fn new(config: &Config) -> Self {
        let keys = &config.sanitize;
        let wanted = |kind: &TraceKind| {
            let own = match kind {
                TraceKind::MachineId => keys.machine_id,
                TraceKind::SshHostKeys => keys.ssh_host_keys,
                TraceKind::RandomSeed => keys.random_seed,
                TraceKind::ClientKeys => keys.client_keys,
                TraceKind::ServiceIds => keys.service_ids,
                TraceKind::DhcpLeases => keys.dhcp_leases,
                TraceKind::WirelessKeys => keys.wireless_keys,
                TraceKind::Histories => keys.histories,
                TraceKind::Logs => keys.logs,
                TraceKind::AptCache => keys.apt_cache,
                TraceKind::CoreDumps => keys.core_dumps,
                TraceKind::CloudInit => keys.cloud_init,
            };
            own.unwrap_or(keys.all)
        };
        Self(TraceKind::ALL.into_iter().filter(wanted).collect())
    }

    /// Whether traces of this kind are taken away.
    #[must_use]
    pub fn has(&self, kind: TraceKind) -> bool {
        self.0.contains(&kind)
    }

    /// The kinds, in their order.
    pub fn kinds(&self) -> impl Iterator<Item = TraceKind> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<TraceKind> {
        let config = Config::parse(text).unwrap();
        SanitizePlan::new(&config).kinds().collect()
    }

    #[test]
    fn a_key_of_its_own_overrides_all() {
        assert_eq!(kinds(""), []);
        let one = kinds("[sanitize]\nlogs = true\n");
        assert_eq!(one, [TraceKind::Logs]);
        assert_eq!(kinds("[sanitize]\nall = true\n"), TraceKind::ALL);
        let most = kinds("[sanitize]\nall = true\nwireless-keys = false\n");
        assert_eq!(most.len(), TraceKind::ALL.len() - 1);
        assert!(!most.contains(&TraceKind::WirelessKeys));
    }
}
