"""What the configuration says about images, as the store takes it."""

from conf.schema import Config
from storage.options import Options
from storage.registry.options import ClientOptions

USUAL_PAUSE_IMAGE = "registry.k8s.io/pause:*"


def image_options(config: Config) -> Options:
    """The store's options; the pause image is pinned, so that the kubelet does not collect it.

    Without one of its own a node has the usual one nevertheless, since kubeadm pulls it.
    """
    image = config.image
    pause = (image.pause_image or USUAL_PAUSE_IMAGE,)
    return Options(
        registries_conf=image.registries_conf,
        registries_conf_dir=image.registries_conf_dir,
        insecure_registries=image.insecure_registries,
        signature_policy=image.signature_policy,
        signature_policy_dir=image.signature_policy_dir,
        auth_files=(image.global_auth_file,) if image.global_auth_file else None,
        namespaced_auth_dir=image.namespaced_auth_dir,
        short_names_enforcing=image.short_name_mode == "enforcing",
        pinned_images=(*image.pinned_images, *pause),
        pull_deadline_s=image.pull_deadline,
        abandoned_s=image.pull_abandoned_timeout,
        client=ClientOptions(
            stall_timeout_s=image.pull_progress_timeout,
            minimum_rate=float(image.pull_minimum_rate),
            connections=image.pull_connections,
        ),
    )
