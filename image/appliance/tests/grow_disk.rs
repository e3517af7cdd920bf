//! The partition table of a real image in a file, by sfdisk.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that is surprised has failed"
)]

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use appliance::grow::rewrite;
use tempfile::TempDir;

/// An image like ours: hybrid MBR, and the partition that grows at its end.
fn image(folder: &TempDir) -> PathBuf {
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("images")).unwrap();
    fs::create_dir_all(at("root")).unwrap();
    for name in ["boot", "data"] {
        File::create(at("images").join(name))
            .unwrap()
            .set_len(8 << 20)
            .unwrap();
    }
    let config = r#"image disk.img { hdimage { partition-table-type = "hybrid" align = 1M }
        partition spot-boot { image = "boot" partition-type = 0x0c partition-type-uuid = "esp" }
        partition spot-data { image = "data" } }"#;
    fs::write(at("genimage.cfg"), config).unwrap();
    let made = Command::new("genimage")
        .current_dir(folder.path())
        .args([
            "--config",
            "genimage.cfg",
            "--rootpath",
            "root",
            "--tmppath",
            "tmp",
        ])
        .args(["--inputpath", "images", "--outputpath", "out"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    at("out/disk.img")
}

fn table(disk: &Path) -> serde_json::Value {
    let said = Command::new("sfdisk").arg("--json").arg(disk).output().unwrap();
    let table: serde_json::Value = serde_json::from_slice(&said.stdout).expect("sfdisk prints JSON");
    table["partitiontable"].clone()
}

fn verified(disk: &Path) -> bool {
    let said = Command::new("sfdisk").arg("--verify").arg(disk).output().unwrap();
    said.status.success() && String::from_utf8_lossy(&said.stdout).contains("No errors detected")
}

fn first_sector(disk: &Path) -> Vec<u8> {
    fs::read(disk).unwrap()[..512].to_vec()
}

#[test]
fn the_data_partition_takes_the_rest_and_the_hybrid_mbr_stays() {
    let folder = tempfile::tempdir().unwrap();
    let disk = image(&folder);
    let (before, mbr) = (table(&disk), first_sector(&disk));
    OpenOptions::new()
        .write(true)
        .open(&disk)
        .unwrap()
        .set_len(200 << 20)
        .unwrap();
    rewrite(disk.to_str().unwrap(), "2").unwrap();
    let after = table(&disk);
    let number =
        |table: &serde_json::Value, at: usize, key: &str| table["partitions"][at][key].as_u64().unwrap();
    let end = number(&after, 1, "start") + number(&after, 1, "size");
    assert_eq!(end, (200 << 20) / 512 - 33, "up to the second table");
    assert_eq!(number(&after, 1, "start"), number(&before, 1, "start"));
    assert_eq!(after["partitions"][0], before["partitions"][0]);
    for key in ["type", "uuid", "name"] {
        assert_eq!(after["partitions"][1][key], before["partitions"][1][key]);
    }
    assert_eq!(first_sector(&disk), mbr, "an old EEPROM reads the MBR");
    assert!(verified(&disk));
    let (once, table_once) = (first_sector(&disk), table(&disk));
    rewrite(disk.to_str().unwrap(), "2").unwrap();
    assert_eq!((first_sector(&disk), table(&disk)), (once, table_once));
}
