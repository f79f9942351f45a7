//! Devices of one image are machines of their own: `[sanitize]`, on the device.

use crate::convert::conversions::{Converted, convert_image};
use crate::support::golden::golden;
use crate::support::qemu::{Board, Firmware, Machine};

/// What makes a device different from others: its machine ID, and the public host keys, one in each
/// line, without their comments.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    machine: String,
    host_keys: Vec<String>,
}

impl Identity {
    fn of(machine: &mut Machine) -> Self {
        let keys = machine.must("cut -d' ' -f1,2 /data/ssh/ssh_host_*_key.pub");
        Self {
            machine: machine.must("cat /etc/machine-id"),
            host_keys: keys.lines().map(str::to_owned).collect(),
        }
    }
}

/// Logs in to the device over its own network, by a key, and holds the host key that its server
/// shows against the file. Returns the identity.
fn log_in(machine: &mut Machine) -> Identity {
    let failed = machine.must("systemctl --failed --no-legend");
    assert_eq!(failed, "", "{}", machine.transcript());
    let identity = Identity::of(machine);
    assert_eq!(identity.machine.trim().len(), 32, "{identity:?}");
    assert_eq!(identity.host_keys.len(), 3, "{identity:?}");
    machine.must(
        "mkdir -p -m 700 /root/.ssh && rm -f /tmp/key /tmp/key.pub /tmp/known && \
         ssh-keygen -q -t ed25519 -N '' -f /tmp/key && cp /tmp/key.pub /root/.ssh/authorized_keys",
    );
    let options = "-q -i /tmp/key -o BatchMode=yes -o StrictHostKeyChecking=accept-new \
         -o UserKnownHostsFile=/tmp/known -o HostKeyAlgorithms=ssh-ed25519";
    let said = machine.must(&format!("ssh {options} root@127.0.0.1 cat /etc/machine-id"));
    assert_eq!(said.trim(), identity.machine.trim());
    let known = machine.must("cut -d' ' -f2,3 /tmp/known");
    assert!(
        identity.host_keys.contains(&known.trim().to_owned()),
        "{known}: {identity:?}"
    );
    identity
}

/// The first start of a new device, and the second.
fn life(made: &Converted, name: &str, restarts: bool) -> Option<Identity> {
    let board = Board::new(name, &made.image, None, Firmware::Uefi)?;
    let mut machine = board.power_on();
    machine.shell();
    let identity = log_in(&mut machine);
    if restarts {
        machine.reboot();
        assert_eq!(
            log_in(&mut machine),
            identity,
            "the second start changes nothing"
        );
    }
    machine.power_off();
    Some(identity)
}

/// Two devices of one image have host keys and machine IDs of their own, which none of them has in
/// common with the golden image, keep them over a restart, and let their owner log in.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_devices_of_one_image_are_machines_of_their_own() {
    let Some(image) = golden("rich") else { return };
    let sanitize = "\n[sanitize]\nall = true\n";
    let Some(made) = convert_image(&image, "rich-own", "rich", "release-1", sanitize) else {
        return;
    };
    let Some(one) = life(&made, "own-identity-1", true) else {
        return;
    };
    let two = life(&made, "own-identity-2", false).expect("it could be started before");
    assert_ne!(one.machine, two.machine);
    for key in &one.host_keys {
        assert!(!two.host_keys.contains(key), "{key}");
    }
}
