"""What focal loss does

The gradient of focal loss over that of cross-entropy (the paper's Figure 4a), and the prediction that minimises the
expected loss (Figure 7).
"""

from calkit.plotting import FocalMinimiserDisplay, GradientRatioDisplay

figures = {
    "gradient-ratio": GradientRatioDisplay.from_gamma(plot=False).figure(),
    "focal-minimiser": FocalMinimiserDisplay.from_gamma(plot=False).figure(),
}
