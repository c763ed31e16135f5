namespace Hypervisor.Engine.Devices.Platform;

/// <summary>
/// What a device can ask of the machine around it. The request is noted and carried out after the processors have stopped; the call
/// returns at once and the calling processor runs on for a few instructions at most. Thread-safe.
/// </summary>
public interface IMachineControl
{
    /// <summary>The guest entered S5.</summary>
    void RequestPowerOff();

    /// <summary>The guest pulled a reset line.</summary>
    /// <param name="source">What it used, for the event log.</param>
    void RequestReset(string source);

    /// <summary>A device failed by a defect of its own: the machine ends, and says so.</summary>
    /// <param name="device">What failed, for the event log.</param>
    /// <param name="error">What its thread met.</param>
    void ReportFailure(string device, Exception error);

    /// <summary>The guest wrote to the debug-exit port.</summary>
    void RequestDebugExit(int code);
}
