//! The chat door as this server has it: where files lie.

use std::{path::Path, sync::Arc};

use anyhow::Context;
use yizhan_chat::{FileParts, config::S3};
use yizhan_files::{Files, Place, Secret};
use yizhan_im::Im;

use crate::config::Config;

/// The folder of uploads on their way, in the data folder.
const UPLOADS: &str = "uploads";
/// The folder of files, in the data folder, where the config names no other place.
const FILES: &str = "files";

/// Opens the place of files.
///
/// # Errors
/// The config makes no sense, or the place cannot be used.
pub(crate) async fn files(config: &Config, data: &Path, im: &Im) -> anyhow::Result<FileParts> {
    config.chat.check()?;
    let set = &config.chat.files;
    let place = match (&set.s3, &set.folder) {
        (Some(s3), _) => bucket(s3),
        (None, Some(folder)) => Place::Folder(folder.clone()),
        (None, None) => Place::Folder(data.join(FILES)),
    };
    let limits = yizhan_files::Config {
        upload_bytes_max: set.upload_bytes_max,
        uploads_open_max: set.uploads_open_max,
        upload_idle_max: set.upload_idle_max,
        image_pixels_max: set.image_pixels_max,
        thumbnail_side_px: set.thumbnail_side_px,
        ..yizhan_files::Config::new(place)
    };
    let files = Files::open(&data.join(UPLOADS), limits).await.context("chat.files")?;
    Ok(FileParts { im: im.clone(), files, random: Arc::new(rand::random::<u128>) })
}

fn bucket(s3: &S3) -> Place {
    Place::S3 {
        endpoint: s3.endpoint.clone(),
        bucket: s3.bucket.clone(),
        region: s3.region.clone(),
        access_key: s3.access_key.clone(),
        secret_key: Secret::new(s3.secret_key.reveal().clone()),
        path_style: s3.path_style,
        prefix: s3.prefix.clone(),
    }
}
