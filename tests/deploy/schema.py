"""The fields that the files of deploy/ use, as types; and nothing but them, where no package brings
the whole schema: Prometheus's and Grafana's own files."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

#: What Compose and Kubernetes take as a name.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9_]*[a-z0-9])?$")]
Duration = Annotated[str, StringConstraints(pattern=r"^[0-9]+(ms|s|m|h|d)$")]
#: host address : host port : container port. Without the first, Docker opens it to everyone.
Published = Annotated[str, StringConstraints(pattern=r"^127\.0\.0\.1:[0-9]+:[0-9]+$")]


class Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Build(Fields):
    context: str
    dockerfile: str
    args: dict[str, str]


class Healthcheck(Fields):
    test: list[str]
    interval: Duration
    timeout: Duration
    retries: int
    start_period: Duration | None = None


class Dependency(Fields):
    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Service(Fields):
    image: str
    build: Build | None = None
    command: str | None = None
    restart: Literal["no", "always", "on-failure", "unless-stopped"]
    init: bool = False
    shm_size: str | None = None
    cpus: str | None = None
    cap_drop: list[str] = []
    security_opt: list[str] = []
    profiles: list[Name] = []
    environment: dict[str, str] = {}
    secrets: list[Name] = []
    ports: list[Published] = []
    volumes: list[str] = []
    depends_on: dict[Name, Dependency] = {}
    healthcheck: Healthcheck | None = None


class SecretFile(Fields):
    file: str


class Compose(Fields):
    name: Name
    services: dict[Name, Service]
    secrets: dict[Name, SecretFile]
    volumes: dict[Name, None]
    ray: dict[str, Any] = Field(alias="x-ray")


class Metadata(Fields):
    name: Name


class AuthOptions(Fields):
    mode: Literal["token"]


class HeadGroup(Fields):
    rayStartParams: dict[str, str]  # noqa: N815 - Kubernetes' spelling, here and below
    template: dict[str, Any]


class WorkerGroup(HeadGroup):
    groupName: Name  # noqa: N815
    replicas: int
    minReplicas: int  # noqa: N815
    maxReplicas: int  # noqa: N815


class RayClusterSpec(Fields):
    rayVersion: str  # noqa: N815
    authOptions: AuthOptions  # noqa: N815
    enableInTreeAutoscaling: bool  # noqa: N815
    autoscalerOptions: dict[str, Any]  # noqa: N815
    headGroupSpec: HeadGroup  # noqa: N815
    workerGroupSpecs: list[WorkerGroup]  # noqa: N815


class RayCluster(Fields):
    apiVersion: Literal["ray.io/v1"]  # noqa: N815
    kind: Literal["RayCluster"]
    metadata: Metadata
    spec: RayClusterSpec


class RayJobSpec(Fields):
    entrypoint: str
    backoffLimit: int  # noqa: N815
    shutdownAfterJobFinishes: bool  # noqa: N815
    ttlSecondsAfterFinished: int  # noqa: N815
    rayClusterSpec: RayClusterSpec  # noqa: N815
    submitterPodTemplate: dict[str, Any]  # noqa: N815


class RayJob(Fields):
    apiVersion: Literal["ray.io/v1"]  # noqa: N815
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: RayJobSpec


class RayServiceSpec(Fields):
    serveConfigV2: str  # noqa: N815
    rayClusterConfig: RayClusterSpec  # noqa: N815


class RayService(Fields):
    apiVersion: Literal["ray.io/v1"]  # noqa: N815
    kind: Literal["RayService"]
    metadata: Metadata
    spec: RayServiceSpec


class Authorization(Fields):
    type: Literal["Bearer"]
    credentials_file: str


class HttpDiscovery(Fields):
    url: str
    refresh_interval: Duration
    authorization: Authorization


class NameDiscovery(Fields):
    names: list[str]
    type: Literal["A"]
    port: int
    refresh_interval: Duration


class Scrape(Fields):
    job_name: str
    http_sd_configs: list[HttpDiscovery] = []
    dns_sd_configs: list[NameDiscovery] = []
    authorization: Authorization | None = None


class PrometheusGlobal(Fields):
    scrape_interval: Duration


class Prometheus(Fields):
    everywhere: PrometheusGlobal = Field(alias="global")
    scrape_configs: list[Scrape]


class DatasourceOptions(Fields):
    timeInterval: Duration  # noqa: N815


class Datasource(Fields):
    name: str
    uid: Name
    type: Literal["prometheus"]
    access: Literal["proxy"]
    url: str
    isDefault: bool  # noqa: N815
    jsonData: DatasourceOptions  # noqa: N815


class Datasources(Fields):
    apiVersion: Literal[1]  # noqa: N815
    datasources: list[Datasource]


class ProviderOptions(Fields):
    path: str


class Provider(Fields):
    name: str
    type: Literal["file"]
    options: ProviderOptions


class Providers(Fields):
    apiVersion: Literal[1]  # noqa: N815
    providers: list[Provider]


class DatasourceRef(Fields):
    type: Literal["prometheus"]
    uid: str


class Target(Fields):
    refId: str  # noqa: N815
    expr: str
    legendFormat: str  # noqa: N815


class Place(Fields):
    x: Annotated[int, Field(ge=0, lt=24)]
    y: Annotated[int, Field(ge=0)]
    w: Annotated[int, Field(gt=0, le=24)]
    h: Annotated[int, Field(gt=0)]


class FieldConfig(Fields):
    defaults: dict[str, Any]


class Panel(Fields):
    id: int
    type: Literal["timeseries"]
    title: str
    description: str
    datasource: DatasourceRef
    gridPos: Place  # noqa: N815
    fieldConfig: FieldConfig  # noqa: N815
    targets: Annotated[list[Target], Field(min_length=1)]


class Variable(Fields):
    name: str
    label: str
    type: Literal["query"]
    datasource: DatasourceRef
    query: str
    refresh: Literal[1, 2]
    includeAll: bool  # noqa: N815
    multi: bool
    current: dict[str, str]


class Templating(Fields):
    list: list[Variable]


class Dashboard(Fields):
    uid: Annotated[str, StringConstraints(max_length=40)]
    title: str
    tags: list[str]
    schemaVersion: int  # noqa: N815
    editable: bool
    refresh: Duration
    time: dict[str, str]
    templating: Templating
    panels: list[Panel]
