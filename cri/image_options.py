"""What the configuration says about images, as the store takes it."""

from conf.schema import Config
from storage.images import Options


def image_options(config: Config) -> Options:
    """The store's options; the pause image is pinned, so that the kubelet does not collect it."""
    image = config.image
    pause = (image.pause_image,) if image.pause_image else ()
    return Options(
        registries_conf=image.registries_conf,
        auth_files=(image.global_auth_file,) if image.global_auth_file else None,
        short_names_enforcing=image.short_name_mode == "enforcing",
        pinned_images=(*image.pinned_images, *pause),
    )
