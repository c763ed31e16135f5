namespace Hypervisor.Engine.Partitions.Whp;

/// <summary>Turns refusals of the Windows Hypervisor Platform into exceptions for a person.</summary>
internal static class WhpCalls
{
    /// <summary>Throws for a failed HRESULT.</summary>
    internal static void Check(int result, string attempt)
    {
        if (result < 0)
        {
            throw new PartitionException($"The Windows Hypervisor Platform could not {attempt} (error {result:x8}h: {System.Runtime.InteropServices.Marshal.GetPInvokeErrorMessage(result & 0xFFFF)}).");
        }
    }
}
