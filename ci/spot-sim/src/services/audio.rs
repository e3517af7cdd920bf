//! The camera's loudspeaker and microphones.

use tonic::{Request, Response, Streaming};

use super::{Answer, done, invalid};
use crate::locked;
use crate::proto::api::spot_cam::audio_service_server::AudioService;
use crate::proto::api::spot_cam::{
    DeleteSoundRequest, DeleteSoundResponse, GetAudioCaptureChannelRequest, GetAudioCaptureChannelResponse,
    GetAudioCaptureGainRequest, GetAudioCaptureGainResponse, GetVolumeRequest, GetVolumeResponse,
    ListSoundsRequest, ListSoundsResponse, LoadSoundRequest, LoadSoundResponse, PlaySoundRequest,
    PlaySoundResponse, SetAudioCaptureChannelRequest, SetAudioCaptureChannelResponse,
    SetAudioCaptureGainRequest, SetAudioCaptureGainResponse, SetVolumeRequest, SetVolumeResponse, Sound,
};
use crate::world::World;

#[tonic::async_trait]
impl AudioService for World {
    async fn play_sound(&self, request: Request<PlaySoundRequest>) -> Answer<PlaySoundResponse> {
        let request = request.into_inner();
        let name = request.sound.unwrap_or_default().name;
        let known = locked(&self.state).shelf.sounds.contains(&name);
        let header = if known {
            done(request.header)
        } else {
            invalid(request.header, format!("there is no sound '{name}'"))
        };
        Ok(Response::new(PlaySoundResponse { header }))
    }

    async fn load_sound(&self, request: Request<Streaming<LoadSoundRequest>>) -> Answer<LoadSoundResponse> {
        let mut chunks = request.into_inner();
        let mut header = None;
        while let Some(chunk) = chunks.message().await? {
            if let Some(sound) = chunk.sound {
                locked(&self.state).shelf.sounds.insert(sound.name);
            }
            header = chunk.header.or(header);
        }
        Ok(Response::new(LoadSoundResponse { header: done(header) }))
    }

    async fn delete_sound(&self, request: Request<DeleteSoundRequest>) -> Answer<DeleteSoundResponse> {
        let request = request.into_inner();
        let name = request.sound.unwrap_or_default().name;
        let known = locked(&self.state).shelf.sounds.remove(&name);
        let header = if known {
            done(request.header)
        } else {
            invalid(request.header, format!("there is no sound '{name}'"))
        };
        Ok(Response::new(DeleteSoundResponse { header }))
    }

    async fn list_sounds(&self, request: Request<ListSoundsRequest>) -> Answer<ListSoundsResponse> {
        let sounds = locked(&self.state)
            .shelf
            .sounds
            .iter()
            .map(|name| Sound { name: name.clone() })
            .collect();
        Ok(Response::new(ListSoundsResponse {
            header: done(request.into_inner().header),
            sounds,
        }))
    }

    async fn set_volume(&self, request: Request<SetVolumeRequest>) -> Answer<SetVolumeResponse> {
        let request = request.into_inner();
        locked(&self.state).shelf.volume = request.volume.clamp(0.0, 100.0);
        Ok(Response::new(SetVolumeResponse {
            header: done(request.header),
        }))
    }

    async fn get_volume(&self, request: Request<GetVolumeRequest>) -> Answer<GetVolumeResponse> {
        let volume = locked(&self.state).shelf.volume;
        Ok(Response::new(GetVolumeResponse {
            header: done(request.into_inner().header),
            volume,
        }))
    }

    async fn set_audio_capture_channel(
        &self,
        request: Request<SetAudioCaptureChannelRequest>,
    ) -> Answer<SetAudioCaptureChannelResponse> {
        let request = request.into_inner();
        locked(&self.state).shelf.capture_channel = request.channel;
        Ok(Response::new(SetAudioCaptureChannelResponse {
            header: done(request.header),
        }))
    }

    async fn get_audio_capture_channel(
        &self,
        request: Request<GetAudioCaptureChannelRequest>,
    ) -> Answer<GetAudioCaptureChannelResponse> {
        let channel = locked(&self.state).shelf.capture_channel;
        Ok(Response::new(GetAudioCaptureChannelResponse {
            header: done(request.into_inner().header),
            channel,
        }))
    }

    async fn set_audio_capture_gain(
        &self,
        request: Request<SetAudioCaptureGainRequest>,
    ) -> Answer<SetAudioCaptureGainResponse> {
        let request = request.into_inner();
        locked(&self.state)
            .shelf
            .capture_gains
            .insert(request.channel, request.gain);
        Ok(Response::new(SetAudioCaptureGainResponse {
            header: done(request.header),
        }))
    }

    async fn get_audio_capture_gain(
        &self,
        request: Request<GetAudioCaptureGainRequest>,
    ) -> Answer<GetAudioCaptureGainResponse> {
        let request = request.into_inner();
        let gain = locked(&self.state)
            .shelf
            .capture_gains
            .get(&request.channel)
            .copied()
            .unwrap_or(0.5);
        Ok(Response::new(GetAudioCaptureGainResponse {
            header: done(request.header),
            gain,
        }))
    }
}
