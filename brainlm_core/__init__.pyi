from brainlm_core.base.recording import Recording as Recording
from brainlm_core.library import compare as compare
from brainlm_core.library import demo as demo
from brainlm_core.library import embed as embed
from brainlm_core.library import forecast as forecast
from brainlm_core.library import load_model as load_model
from brainlm_core.library import networks as networks
from brainlm_core.library import perturb as perturb
from brainlm_core.library import read as read
from brainlm_core.library import reconstruct as reconstruct
from brainlm_core.library import write_report as write_report

__version__: str
__all__: list[str]
